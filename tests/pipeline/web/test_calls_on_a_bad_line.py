"""The page's link and a host board with frames lost or doubled between them: no call is made twice or lost unseen."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tinyllm.host.connect.connection import Connection
from tinyllm.host.web.site import PAGE

SCRIPT = """
import { connect } from "node:net";
const { encodeFrame, FrameReader } = await import("${PAGE}/frames.js");
const { Link, LostFrame } = await import("${PAGE}/link.js");
const [CALL, RESULT] = [0x8a, 0x8b];

class Line {
  constructor(harm) { Object.assign(this, { harm, reader: new FrameReader(), onbytes() {}, onlost() {} }); }
  open() {
    this.socket = connect(Number("${PORT}"), "127.0.0.1");
    this.socket.on("data", (bytes) => {
      for (const { frame } of this.reader.feed(bytes)) {
        if (frame) for (const copy of this.harm(frame)) this.onbytes(encodeFrame(copy));
      }
    });
    return new Promise((resolve) => this.socket.once("connect", resolve));
  }
  async write(bytes) { this.socket.write(bytes); }
  async close() { this.socket.destroy(); }
}

async function ask(harm) {
  const link = new Link(new Line(harm), [], () => {});
  await link.open();
  await link.reset();
  await link.set(1, 0);
  link.asksFirst = true;
  let asked = 0, text = "";
  link.answerCall = async () => ((asked += 1), null);
  try {
    for await (const reply of link.prompt("Turn on the light in the hall", 100, true)) text += reply.text ?? "";
  } catch (error) {
    if (!(error instanceof LostFrame)) throw error;
    text = "lost";
  }
  await link.close();
  return [asked, text];
}

// Carried out by the board itself, and neither told of nor its result, after a call that was.
async function askWithoutBoth() {
  let losing = false;
  const harm = (frame) => (losing && [CALL, RESULT].includes(frame.type) ? [] : [frame]);
  const link = new Link(new Line(harm), [], () => {});
  await link.open();
  await link.set(1, 0);
  try {
    for (losing of [false, true]) {
      await link.reset();
      for await (const reply of link.prompt("Turn on the light in the hall", 100, true));
    }
    return "passed for whole";
  } catch (error) {
    return error instanceof LostFrame && losing ? "lost" : String(error);
  } finally {
    await link.close();
  }
}

const first = (type, copies) => {
  let left = 1;
  return (frame) => (frame.type === type && left-- > 0 ? copies(frame) : [frame]);
};
console.log(JSON.stringify({
  "sound": await ask((frame) => [frame]),
  "call twice": await ask(first(CALL, (frame) => [frame, frame])),
  "call lost": await ask(first(CALL, () => [])),
  "result lost": await ask(first(RESULT, () => [])),
  "both lost": [0, await askWithoutBoth()],
}));
process.exit();
"""


@pytest.fixture
def told(fresh: Connection) -> dict[str, tuple[int, str]]:
    """How often a person was asked, and what came, by what happened to frames of the board."""
    if shutil.which("node") is None:
        skip_unless_ci("node is not installed")
    port = fresh.address().rsplit(":", 1)[1]
    script = SCRIPT.replace("${PAGE}", Path(PAGE).as_uri()).replace("${PORT}", port)
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name: tuple(found) for name, found in json.loads(done.stdout).items()}


def test_a_call_is_made_once_and_a_lost_result_is_told(told: dict[str, tuple[int, str]]) -> None:
    asked, text = told["sound"]
    assert asked == 1
    assert text.endswith("The hall light is on.")
    assert told["call twice"] == told["call lost"] == (1, text)
    assert told["result lost"] == (1, "lost")
    assert told["both lost"] == (0, "lost")
