// The page: what its buttons do, and which parts of it are shown.

import { byId, make } from "./elements.js";
import { FlashPanel } from "./flash_panel.js";
import { FrameLog } from "./frame_log.js";
import { NO_HANDLER } from "./link.js";
import { HANDLER, REASONS } from "./messages.js";
import { BridgePort, hasWebSerial, noWebSerial, SerialPort } from "./ports.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { Turns } from "./turns.js";

const REFUSED = "error: refused";

const site = await fetch("site.json").then((response) => response.json());
const frames = new FrameLog(byId("frames"), byId("frames-lines"));
const settings = new Settings(byId("settings-form"), site.settings);
const turns = new Turns(byId("turns"));
const session = new Session(site, settings, { state, trouble, changed, reply, answerCall }, (way, item) =>
  frames.add(way, item),
);
const boards = site.boards.filter(({ image }) => image);
let flashing = false;
let drawn = null; // The conversation that is shown now.

function trouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

function state(text) {
  byId("who").textContent = text;
}

// Carry out a button's action. Show its error, if it throws one.
async function attempt(action) {
  trouble("");
  try {
    await action();
  } catch (error) {
    trouble(error.message);
  }
  changed();
}

function clock() {
  return site.bridge?.clock ?? "the board's own clock";
}

function changed() {
  const { link, conversation, answering } = session;
  const hello = link?.hello;
  const talking = Boolean(hello || conversation?.turns.length);
  document.body.classList.toggle("talking", talking);
  byId("disconnect").hidden = !session.attached || flashing;
  byId("flash").hidden = !boards.length || (session.attached && !flashing);
  byId("welcome").hidden = session.attached || flashing;
  byId("turns").hidden = byId("aside").hidden = !talking;
  byId("ask").hidden = !hello;
  byId("send").hidden = answering;
  byId("stop").hidden = !answering;
  byId("anew").disabled = answering;
  byId("save").disabled = !conversation?.turns.length;
  if (conversation !== drawn) {
    drawn = conversation;
    if (conversation) turns.show(conversation, clock());
    else byId("turns").replaceChildren();
  }
  state(
    hello ? `${hello.model} on ${hello.board}` : session.attached ? "waiting for the board" : "no board connected",
  );
  facts(hello);
}

function facts(hello) {
  const rows = hello
    ? {
        model: `${hello.model}, hash ${hello.model_hash}`,
        board: hello.board,
        context: `${contextUsed()} of ${hello.context} tokens`,
        vocabulary: `${hello.vocab_size} tokens`,
        "longest prompt": `${hello.text_max} bytes`,
        "chat template": hello.chat ? "on the board" : "none",
        kernels: hello.kernels_agree ? hello.kernels : `${hello.kernels}: they failed their check, portable C works`,
        weights: site.weights[hello.weights] ?? "cannot be used",
        build: hello.build_id,
        firmware: hello.firmware,
        clock: clock(),
      }
    : {};
  byId("facts").replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
}

function contextUsed() {
  return session.conversation?.turns.findLast((turn) => turn.done)?.done.context_used ?? 0;
}

function reply(one) {
  turns.take(one, clock());
}

// The result for a call that waits for one. null: the board carries out the call.
async function answerCall({ answered }) {
  if (answered !== HANDLER.ASKED_FIRST) return NO_HANDLER;
  return (await turns.allow()) ? null : REFUSED;
}

async function connect(port) {
  await session.connect(port);
  const { hello } = session.link;
  if (hello.weights !== 0)
    trouble(`The board ${site.weights[hello.weights] ?? "cannot use its weights"}. Flash it again.`);
  return hello;
}

// --- Buttons --------------------------------------------------------------------------------------------------------

const talkTo = (choose) =>
  attempt(async () => {
    const port = await choose();
    if (!port) return;
    state("connecting");
    await connect(port);
    byId("prompt").focus();
  });
byId("connect").addEventListener("click", () => talkTo(() => SerialPort.choose()));
byId("bridge").addEventListener("click", () => talkTo(() => new BridgePort()));
byId("disconnect").addEventListener("click", () => attempt(() => session.disconnect()));

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("prompt").value.trim();
  if (!text || session.answering || !session.connected) return;
  byId("prompt").value = "";
  turns.begin(text);
  attempt(async () => {
    try {
      await session.ask(text);
    } finally {
      // A refused prompt is not in the conversation. Put it back into the field, so that it can be corrected.
      if (session.conversation && session.conversation.turns.at(-1)?.prompt !== text) {
        turns.withdraw();
        byId("prompt").value = text;
      }
    }
  });
});

byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("ask").requestSubmit();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && session.answering) session.stop();
});
byId("stop").addEventListener("click", () => (session.stop(), byId("prompt").focus()));
byId("anew").addEventListener("click", () => attempt(() => session.anew()));
byId("frames-clear").addEventListener("click", () => frames.clear());
byId("frames-copy").addEventListener("click", () => attempt(() => navigator.clipboard.writeText(frames.text)));
byId("save").addEventListener("click", () => {
  const file = new Blob([JSON.stringify(transcript(), null, 2)], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(file), download: "conversation.json" });
  link.click();
  URL.revokeObjectURL(link.href);
});

// The conversation in the format of `tinyllm chat`, whose /load can read it (host/chat/transcript.py).
function transcript() {
  const digest = (value) => value.toString(16).padStart(8, "0");
  const { conversation, link } = session;
  return {
    transcript: 1,
    model: conversation.model,
    model_hash: conversation.modelHash,
    board: link?.hello.board ?? "",
    settings: settings.document(),
    turns: conversation.turns.map(({ prompt, chat, maxTokens, text, answer, done }) => ({
      prompt,
      sent: { text: prompt, chat, anew: false },
      max_tokens: maxTokens === 0xffffffff ? 0 : maxTokens,
      text,
      tokens: answer,
      reason: done ? REASONS[done.reason] : "interrupted",
      prompt_tokens: done?.prompt_tokens ?? null,
      prefill_us: done?.prefill_us ?? null,
      decode_us: done?.decode_us ?? null,
      context_used: done?.context_used ?? null,
      digest: done && digest(done.digest),
      conversation_digest: done && digest(done.conversation_digest),
    })),
  };
}

// --- At the start ---------------------------------------------------------------------------------------------------

byId("unloaded").remove();
byId("version").textContent = `tinyllm ${site.version}, protocol ${site.protocol}.`;
byId("connect").hidden = !hasWebSerial();
byId("bridge").hidden = !site.bridge;
byId("bridge").textContent = site.bridge ? `Talk to ${site.bridge.model} on ${site.bridge.board}` : "";
byId("welcome-text").textContent = [
  hasWebSerial() ? "Plug in a board that runs tinyllm, connect, and choose its port." : noWebSerial(),
  site.bridge ? `This page's server has ${site.bridge.model} on ${site.bridge.board} too.` : "",
].join(" ");
if (boards.length) {
  new FlashPanel(boards, {
    trouble,
    connect,
    async busy(whether) {
      flashing = whether;
      if (whether && session.attached) await session.disconnect();
      changed();
    },
  });
}
// A page with a bridge needs no copy for offline use: whenever the board can be reached, so can the page's server.
if ("serviceWorker" in navigator && !site.bridge) navigator.serviceWorker.register("offline.js");
changed();
