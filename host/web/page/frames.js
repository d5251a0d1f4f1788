// Frames on a byte stream that also carries text: docs/protocol.md, section "Frames". It is host/link/frames.py in
// JavaScript.

export const MAX_PAYLOAD = 8192;
const MAX_ENCODED = MAX_PAYLOAD + Math.floor(MAX_PAYLOAD / 254) + 1;

// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected, no final XOR.
export function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

export function cobsEncode(bytes) {
  const out = [0];
  let code = 0; // The index of the code byte of the present run.
  for (const [index, byte] of bytes.entries()) {
    if (byte !== 0) out.push(byte);
    const full = out.length - code === 0xff;
    if (byte === 0 || (full && index + 1 < bytes.length)) {
      out[code] = out.length - code;
      code = out.length;
      out.push(0);
    }
  }
  out[code] = out.length - code;
  return Uint8Array.from(out);
}

// The decoded bytes, or null if the input is not valid COBS.
export function cobsDecode(encoded) {
  const out = [];
  let at = 0;
  while (at < encoded.length) {
    const code = encoded[at];
    if (code === 0 || at + code > encoded.length) return null;
    for (const byte of encoded.subarray(at + 1, at + code)) {
      if (byte === 0) return null;
      out.push(byte);
    }
    at += code;
    if (code < 0xff && at < encoded.length) out.push(0);
  }
  return encoded.length ? Uint8Array.from(out) : null;
}

// The bytes on the wire: 00, COBS of type, sequence, body and CRC-16 (little-endian), 00.
export function encodeFrame({ type, sequence, body }) {
  const payload = new Uint8Array(body.length + 4);
  payload.set([type, sequence]);
  payload.set(body, 2);
  const crc = crc16(payload.subarray(0, -2));
  payload.set([crc & 0xff, crc >> 8], body.length + 2);
  const encoded = cobsEncode(payload);
  const wire = new Uint8Array(encoded.length + 2);
  wire.set(encoded, 1);
  return wire;
}

// The frame in the bytes between two zeros, or null if COBS, length or CRC is wrong.
export function decodeFrame(encoded) {
  const payload = encoded.length > MAX_ENCODED ? null : cobsDecode(encoded);
  if (!payload || payload.length < 4) return null;
  const end = payload.length - 2;
  if (crc16(payload.subarray(0, end)) !== (payload[end] | (payload[end + 1] << 8))) return null;
  return { type: payload[0], sequence: payload[1], body: payload.slice(2, end) };
}

// Separates frames from everything else in a stream that arrives in pieces.
export class FrameReader {
  #buffer = [];

  // Bytes since the last zero: an incomplete frame, or text.
  get pending() {
    return Uint8Array.from(this.#buffer);
  }

  // Take bytes; return the items that they complete, in order of arrival: {frame}, or {stray} for other bytes.
  feed(bytes) {
    const found = [];
    for (const byte of bytes) {
      if (byte !== 0) this.#buffer.push(byte);
      if ((byte === 0 && this.#buffer.length) || this.#buffer.length > MAX_ENCODED) {
        const encoded = this.pending;
        this.#buffer = [];
        const frame = decodeFrame(encoded);
        found.push(frame ? { frame } : { stray: encoded });
      }
    }
    return found;
  }
}
