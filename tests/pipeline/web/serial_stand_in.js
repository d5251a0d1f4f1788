// A navigator.serial whose one port is what the server's bridge leads to, for a browser without a person or a port.
// window.standIn.unplug() and plug() are what a hand would do.
(() => {
  const INFO = { usbVendorId: 0x303a, usbProductId: 0x1001 };
  const serial = new EventTarget();
  let plugged = true;

  class Port extends EventTarget {
    readable = null;
    writable = null;

    getInfo() {
      return INFO;
    }

    async open() {
      if (this.readable) throw new DOMException("The port is already open.", "InvalidStateError");
      const socket = plugged ? new WebSocket(`${location.origin.replace("http", "ws")}/bridge`) : null;
      if (!socket) throw new DOMException("Failed to open serial port.", "NetworkError");
      socket.binaryType = "arraybuffer";
      await new Promise((resolve, reject) => {
        socket.onmessage = resolve;
        socket.onclose = () => reject(new DOMException("Failed to open serial port.", "NetworkError"));
      });
      this.socket = socket;
      this.readable = new ReadableStream({
        start: (stream) => {
          socket.onmessage = ({ data }) => stream.enqueue(new Uint8Array(data));
          socket.onclose = () => {
            this.readable = this.writable = null;
            if (this.socket !== socket) return;
            stream.error(new DOMException("The device has been lost.", "NetworkError"));
            this.socket = null;
          };
        },
      });
      this.writable = new WritableStream({ write: (bytes) => socket.send(bytes) });
    }

    async close() {
      const { socket } = this;
      this.socket = this.readable = this.writable = null;
      if (!socket) return;
      const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
      socket.close();
      await closed;
    }

    async setSignals() {}

    // esptool-js changes the speed in place if a port can.
    async setBaudRate() {}
  }

  const port = new Port();
  serial.getPorts = async () => (plugged ? [port] : []);
  serial.requestPort = async () => {
    if (!plugged) throw new DOMException("No port selected by the user.", "NotFoundError");
    return port;
  };
  Object.defineProperty(navigator, "serial", { value: serial });
  const told = (type) => {
    const event = new Event(type);
    Object.defineProperty(event, "target", { value: port });
    serial.dispatchEvent(event);
  };
  window.standIn = {
    unplug() {
      plugged = false;
      port.socket?.close();
      told("disconnect");
    },
    plug() {
      plugged = true;
      told("connect");
    },
  };
})();
