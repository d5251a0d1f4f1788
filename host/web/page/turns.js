// The conversation as a person reads it: turns, answers as they come, the model's calls.

import { make } from "./elements.js";
import { REASONS, REPLIES } from "./messages.js";

const RATED = 4; // Tokens that give a rate.
const NEAR_PIXELS = 160;

export class Turns {
  #list;
  #answer = null; // Of the turn under way.
  #counts = null;
  #call = null;
  #text = null; // The text node that grows.
  #unwritten = ""; // What comes within one frame of the screen goes there at once.
  #drawing = false;

  constructor(list) {
    this.#list = list;
  }

  // Show a conversation from its beginning.
  show(conversation, clock) {
    this.#list.replaceChildren();
    for (const turn of conversation.turns) {
      this.begin(turn.prompt);
      for (const part of turn.parts) {
        if ("text" in part) {
          this.#write(part.text);
          this.#flush();
        } else {
          this.#showCall(part.call);
          if (part.result !== null) this.#showResult(part.result);
        }
      }
      if (turn.done) this.#end(turn.done, clock);
    }
  }

  begin(prompt) {
    this.#answer = make("p", { className: "answer" });
    this.#counts = make("p", { className: "counts" });
    this.#text = null;
    this.#list.append(
      make("div", { className: "turn" }, make("p", { className: "said" }, prompt), this.#answer, this.#counts),
    );
    // Who hears the page is told an answer when it is whole.
    this.#list.setAttribute("aria-busy", "true");
    this.#follow(true);
  }

  // A refused prompt leaves no trace.
  withdraw() {
    this.#list.lastElementChild?.remove();
    this.rest();
  }

  rest() {
    this.#list.setAttribute("aria-busy", "false");
  }

  state(text) {
    this.#counts.textContent = text;
  }

  take(reply, clock) {
    if (reply.type === REPLIES.TOKEN) {
      this.#write(reply.text);
    } else if (reply.type === REPLIES.PROGRESS) {
      this.state(`reading: ${reply.done} of ${reply.total} tokens`);
    } else if (reply.type === REPLIES.CALL) {
      this.#showCall(reply.text);
    } else if (reply.type === REPLIES.RESULT) {
      this.#showResult(reply.text);
    } else if (reply.type === REPLIES.DONE) {
      this.#write(reply.text);
      this.#end(reply, clock);
    }
    this.#draw();
  }

  // The first text of a frame of the screen is written at once, what follows with the next frame: a program of this
  // computer makes thousands of tokens a second.
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    this.#flush();
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#flush();
      this.#follow();
    });
  }

  // Ask a person whether the board may carry out the call that was shown last.
  allow() {
    return new Promise((resolve) => {
      const buttons = make("span", {});
      const button = (text, allowed) =>
        make("button", { type: "button", onclick: () => (buttons.remove(), resolve(allowed)) }, text);
      buttons.append(button("Allow", true), button("Refuse", false));
      this.#call.append(make("br"), buttons);
      buttons.firstElementChild.focus();
      this.#follow(true);
    });
  }

  #write(text) {
    this.#unwritten += text;
  }

  #flush() {
    if (!this.#unwritten) return;
    if (!this.#text) {
      this.#text = new Text();
      this.#answer.append(this.#text);
    }
    this.#text.appendData(this.#unwritten);
    this.#unwritten = "";
  }

  #showCall(text) {
    this.#flush();
    this.#text = null;
    this.#call = make("span", { className: "call" }, text);
    this.#answer.append(this.#call);
  }

  #showResult(text) {
    this.#call?.append(` → ${text}`);
  }

  #end(done, clock) {
    this.#flush();
    const tokens = (count) => (count === 1 ? "1 token" : `${count} tokens`);
    const speed = done.tokens / (done.decode_us / 1e6);
    const rated = done.tokens >= RATED && done.decode_us >= 1000;
    const rate = rated ? `, ${speed.toFixed(speed < 100 ? 1 : 0)} tokens/s` : "";
    this.state(
      `${tokens(done.tokens)}${rate} (${clock}) · prompt ${tokens(done.prompt_tokens)}, ` +
        `${(done.prefill_us / 1000).toFixed(1)} ms · ended: ${REASONS[done.reason] ?? done.reason}`,
    );
    this.rest();
  }

  // Keep the end in sight, unless the reader has scrolled back; always: even then.
  #follow(always = false) {
    const end = this.#counts.getBoundingClientRect().bottom;
    if (always || end < innerHeight + NEAR_PIXELS) this.#list.lastElementChild?.scrollIntoView({ block: "end" });
  }
}
