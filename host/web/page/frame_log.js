// The last frames, both ways, as lines for people; drawn only while they are in sight.

import { describe } from "./messages.js";

const KEPT_LINES = 400;
const LONGEST_LINE = 400;

export class FrameLog {
  #lines = [];
  #drawn = true;
  #begun = performance.now();

  constructor(details, pre) {
    this.details = details;
    this.pre = pre;
    details.addEventListener("toggle", () => this.#draw());
  }

  // way: > to the board, < from it.
  add(way, item) {
    const seconds = ((performance.now() - this.#begun) / 1000).toFixed(3).padStart(9);
    const line = `${seconds} ${way} ${describe(item)}`;
    this.#lines.push(line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}...` : line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    if (!this.#drawn || !this.details.open) return;
    this.#drawn = false;
    requestAnimationFrame(() => this.#draw());
  }

  clear() {
    this.#lines = [];
    this.#draw();
  }

  get text() {
    return this.#lines.join("\n");
  }

  #draw() {
    this.#drawn = true;
    if (!this.details.open) return;
    this.pre.textContent = this.text;
    this.pre.scrollTop = this.pre.scrollHeight;
  }
}
