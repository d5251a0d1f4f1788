// The panel that puts a model on a board: an ESP32 is flashed through Web Serial, a Pico's image is a file to download.

import { byId, make } from "./elements.js";
import { flashChip } from "./flash.js";
import { noWebSerial, hasWebSerial, SerialPort } from "./ports.js";

const RETURN_MS = 30000;

export class FlashPanel {
  #choice = byId("flash-board");
  #boards;

  // boards: the entries of site.json that have an image. page: connect(port) connects to the board and returns its
  // HELLO, trouble(text) shows an error, busy(whether) is called before and after flashing.
  constructor(boards, page) {
    this.#boards = boards;
    this.page = page;
    this.#choice.append(
      ...boards.map(({ name, description }) => make("option", { value: name }, `${name}: ${description}`)),
    );
    this.#choice.addEventListener("change", () => this.#show());
    byId("flash-form").addEventListener("submit", (event) => (event.preventDefault(), this.#flash()));
    this.#show();
  }

  get #board() {
    return this.#boards.find(({ name }) => name === this.#choice.value);
  }

  #show() {
    const { image, drive } = this.#board;
    const byHand = Boolean(image.file);
    byId("flash-start").hidden = byHand;
    byId("flash-start").disabled = !hasWebSerial();
    byId("flash-file").hidden = !byHand;
    if (byHand) byId("flash-file").href = image.file;
    byId("flash-state").textContent = "";
    byId("flash-how").textContent = byHand
      ? `Hold the board's button BOOTSEL while you plug it in: the drive ${drive} appears. Download the file and ` +
        "drag it onto that drive. The board restarts by itself; then connect it below."
      : hasWebSerial()
        ? "Plug the board in, flash, and choose its port. What the board has now is written over."
        : noWebSerial();
  }

  async #flash() {
    const { image } = this.#board;
    const bar = byId("flash-progress");
    const state = (text) => (byId("flash-state").textContent = text);
    this.page.trouble("");
    try {
      const port = await SerialPort.choose();
      if (!port) return;
      byId("flash-start").disabled = true;
      bar.hidden = false;
      bar.value = 0;
      await this.page.busy(true);
      await flashChip(port.device, image.manifest, state, (share) => (bar.value = share));
      state("waiting for the board to come back");
      const hello = await this.#returned(port);
      const isBuild = hello.build_id === image.build_id && hello.model_hash === image.model_hash;
      if (!isBuild)
        throw new Error(
          `The board runs ${hello.model}, build ${hello.build_id}: not what was written. Flash it again.`,
        );
      state(`${hello.model} runs on ${hello.board}, as built.`);
    } catch (error) {
      state("");
      this.page.trouble(error.message);
    } finally {
      bar.hidden = true;
      byId("flash-start").disabled = false;
      await this.page.busy(false);
    }
  }

  // The board's HELLO after its restart. Tries again until RETURN_MS have passed.
  async #returned(port) {
    const end = performance.now() + RETURN_MS;
    for (;;) {
      await port.whenBack(new AbortController().signal);
      try {
        return await this.page.connect(port);
      } catch (error) {
        if (performance.now() < end) continue;
        throw new Error(
          "The image was written, but the board did not come back. Press its reset button and connect. " +
            `(${error.message})`,
        );
      }
    }
  }
}
