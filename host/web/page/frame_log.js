// A log of the last frames in both directions, as lines of text. It is drawn only while its panel is open.

import { describe } from "./messages.js";

const KEPT_LINES = 400;
const LONGEST_LINE = 400;

export class FrameLog {
  #passed = [];
  #drawn = true;
  #begun = performance.now();

  constructor(details, pre) {
    this.details = details;
    this.pre = pre;
    details.addEventListener("toggle", () => this.#draw());
  }

  // way: ">" to the board, "<" from it.
  add(way, item) {
    this.#passed.push({ way, item, at: performance.now() - this.#begun });
    if (this.#passed.length > KEPT_LINES) this.#passed.shift();
    if (!this.#drawn || !this.details.open) return;
    this.#drawn = false;
    requestAnimationFrame(() => this.#draw());
  }

  clear() {
    this.#passed = [];
    this.#draw();
  }

  get text() {
    const lines = this.#passed.map(
      ({ way, item, at }) => `${(at / 1000).toFixed(3).padStart(9)} ${way} ${describe(item)}`,
    );
    return lines.map((line) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}...` : line)).join("\n");
  }

  #draw() {
    this.#drawn = true;
    if (!this.details.open) return;
    this.pre.textContent = this.text;
    this.pre.scrollTop = this.pre.scrollHeight;
  }
}
