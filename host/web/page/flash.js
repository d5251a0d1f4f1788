// Writes a board's image to an ESP32 through esptool-js.

import { PortTrouble } from "./ports.js";

const ROM_BAUD = 115200;
const FLASH_BAUD = 460800;
const RESET_MS = 100;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Write the image of a manifest (in the format of ESP Web Tools) to the chip on a Web Serial port.
//
// state(text): called with what is being done. progress(share): called with the share that is written, 0 to 1. Throws
// PortTrouble, before it writes anything, if no chip answers or the image is for another chip.
export async function flashChip(device, manifestPath, state, progress) {
  state("fetching the image");
  const manifest = await fetched(manifestPath).then((response) => response.json());
  const parts = new Map();
  for (const { path } of manifest.builds.flatMap((build) => build.parts)) {
    const place = new URL(path, new URL(manifestPath, location));
    parts.set(path, new Uint8Array(await fetched(place).then((response) => response.arrayBuffer())));
  }
  const { ESPLoader, Transport } = await import("./vendor/esptool.js");
  state("waiting for the chip");
  const transport = new Transport(device);
  const terminal = { clean() {}, write() {}, writeLine() {} };
  const loader = new ESPLoader({ transport, terminal, baudrate: FLASH_BAUD, romBaudrate: ROM_BAUD });
  try {
    await loader.main().catch((error) => {
      if (error.name.startsWith("UnexpectedChip")) {
        throw new PortTrouble(`The chip on this port is none that tinyllm has a board of. (${error.message})`);
      }
      throw new PortTrouble(
        "No chip of the ESP32 family answers on this port. Close other programs that use it; hold the board's button " +
          `BOOT, press RESET, let go, and flash again. (${error.message})`,
      );
    });
    const chip = loader.chip.CHIP_NAME;
    const build = manifest.builds.find(({ chipFamily }) => chipFamily === chip);
    if (!build) {
      const families = manifest.builds.map(({ chipFamily }) => chipFamily).join(" or ");
      throw new PortTrouble(
        `The chip on this port is ${chip}, the image is for ${families}. Choose the board that it is.`,
      );
    }
    await write(loader, build, parts, state, progress);
    state("checking what the flash holds");
    for (const { path, offset, md5 } of build.parts) {
      if ((await loader.flashMd5sum(offset, parts.get(path).length)) !== md5) {
        throw new PortTrouble(
          `The flash does not hold ${path} as it was built. Flash again; if it stays so, the download or the flash is bad.`,
        );
      }
    }
    state("restarting the board");
    await device.setSignals({ dataTerminalReady: false, requestToSend: true });
    await wait(RESET_MS);
    await device.setSignals({ requestToSend: false });
  } finally {
    await transport.disconnect().catch(() => {});
  }
}

async function write(loader, build, parts, state, progress) {
  const files = build.parts.map(({ path, offset }) => ({ data: parts.get(path), address: offset }));
  const total = files.reduce((sum, { data }) => sum + data.length, 0);
  const before = files.map((_, index) => files.slice(0, index).reduce((sum, { data }) => sum + data.length, 0));
  state(`writing ${total.toLocaleString("en")} bytes; leave the board plugged in`);
  await loader.writeFlash({
    fileArray: files,
    flashMode: "keep",
    flashFreq: "keep",
    flashSize: "keep",
    eraseAll: false,
    compress: true,
    // written and all count bytes of the compressed file.
    reportProgress: (index, written, all) =>
      progress((before[index] + (files[index].data.length * written) / all) / total),
  });
}

async function fetched(place) {
  const response = await fetch(place);
  if (!response.ok) throw new PortTrouble(`${place}: the image is not there (status ${response.status}).`);
  return response;
}
