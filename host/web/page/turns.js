// Shows the conversation: turns, answers as they come, and the model's calls.

import { make } from "./elements.js";
import { REASONS, REPLIES } from "./messages.js";

const RATED = 4; // The fewest tokens for which a rate is shown.
const NEAR_PIXELS = 160;

export class Turns {
  #list;
  #answer = null; // The element of the answer under way.
  #counts = null;
  #call = null;
  #text = null; // The text node that grows.
  #unwritten = ""; // Text that waits for the next frame of the screen.
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
    // A screen reader then reads the answer when it is complete.
    this.#list.setAttribute("aria-busy", "true");
    this.#follow(true);
  }

  // Remove the last turn, because its prompt was refused.
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

  // Write the first text at once, and collect the rest until the next frame of the screen: the host board makes
  // thousands of tokens a second.
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

  // Ask the user whether the board may carry out the call that was shown last.
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

  // Scroll to the end, unless the user has scrolled back. always: scroll even then.
  #follow(always = false) {
    const end = this.#counts.getBoundingClientRect().bottom;
    if (always || end < innerHeight + NEAR_PIXELS) this.#list.lastElementChild?.scrollIntoView({ block: "end" });
  }
}
