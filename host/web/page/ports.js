// The byte streams to a board: a serial port of this computer (Web Serial), or the bridge of `tinyllm web --serve`.
//
// A port has open(), write(bytes) and close(). It calls onbytes(bytes) when bytes come, and onlost() when the port goes
// away by itself. whenBack(signal) waits a moment before a lost port is tried again.

const BAUD = 115200;
const RETRY_MS = 1000;

// An error that the user can correct. The message says what is wrong and what to do.
export class PortTrouble extends Error {}

// Wait until the next try. Throws the signal's reason if it is aborted first.
function wait(signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, RETRY_MS);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

export const hasWebSerial = () => "serial" in navigator;

// Why this page has no Web Serial, and where to get it.
export function noWebSerial() {
  if (!isSecureContext) {
    return (
      "Browsers give Web Serial to pages of https:// and of localhost alone. " +
      "Open this page at such an address: `tinyllm web --serve` does."
    );
  }
  return "This browser has no Web Serial. Chrome, Edge and Opera on a computer have it: open this page there.";
}

export class SerialPort {
  #closing = false;
  #reader = null;

  constructor(port) {
    this.device = port;
    this.onbytes = this.onlost = () => {};
  }

  // Ask the user for a port; null if they chose none.
  static async choose() {
    try {
      return new SerialPort(await navigator.serial.requestPort());
    } catch (error) {
      if (error.name === "NotFoundError") return null;
      throw new PortTrouble(`The browser lets this page open no port: ${error.message}`);
    }
  }

  async open() {
    this.#closing = false;
    try {
      await this.device.open({ baudRate: BAUD, bufferSize: 16384 });
    } catch (error) {
      throw new PortTrouble(
        error.name === "InvalidStateError"
          ? "This page has the port open already. Reload the page, then connect again."
          : "The port cannot be opened. Close the other tab or program that has it, such as a serial monitor, then " +
              `connect again. On Linux, your user must be in the group dialout. (${error.message})`,
      );
    }
    // RTS raised with DTR low holds an ESP32 in reset, so lower DTR last. Some adapters lack these lines.
    for (const line of ["requestToSend", "dataTerminalReady"]) {
      await this.device.setSignals({ [line]: false }).catch(() => {});
    }
    this.#read();
  }

  async #read() {
    try {
      while (this.device.readable && !this.#closing) {
        this.#reader = this.device.readable.getReader();
        try {
          for (;;) {
            const { value, done } = await this.#reader.read();
            if (done) break;
            this.onbytes(value);
          }
        } catch {
          // After a framing error or an overrun the port has a new stream. A port that is gone has none.
        } finally {
          this.#reader.releaseLock();
        }
      }
    } finally {
      if (!this.#closing) {
        await this.close();
        this.onlost();
      }
    }
  }

  async write(bytes) {
    const writer = this.device.writable?.getWriter();
    if (!writer) throw new PortTrouble("The port is closed.");
    try {
      await writer.write(bytes);
    } finally {
      writer.releaseLock();
    }
  }

  async close() {
    this.#closing = true;
    await this.#reader?.cancel().catch(() => {});
    await this.device.close().catch(() => {});
  }

  // A USB device that was plugged in again is a new port object with the same USB numbers.
  async whenBack(signal) {
    await wait(signal);
    const numbers = JSON.stringify(this.device.getInfo());
    const again = (await navigator.serial.getPorts()).find((port) => JSON.stringify(port.getInfo()) === numbers);
    this.device = again ?? this.device;
  }
}

export class BridgePort {
  #socket = null;

  constructor() {
    this.onbytes = this.onlost = () => {};
  }

  open() {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/bridge`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      let begun = false;
      // The server sends a text when it has opened the board's port.
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") {
          begun = true;
          resolve();
        } else {
          this.onbytes(new Uint8Array(data));
        }
      };
      socket.onclose = ({ reason }) => {
        const ours = this.#socket === socket;
        if (ours) this.#socket = null;
        if (begun && ours) return this.onlost();
        return reject(
          new PortTrouble(reason || "The server that this page came from does not answer. Start it again."),
        );
      };
    });
  }

  async write(bytes) {
    if (!this.#socket) throw new PortTrouble("The bridge is closed.");
    this.#socket.send(bytes);
  }

  async close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  whenBack(signal) {
    return wait(signal);
  }
}
