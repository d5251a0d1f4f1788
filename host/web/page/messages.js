// The messages that programs and boards exchange, as docs/protocol.md specifies them. Integers are little-endian.

export const PROTOCOL_VERSION = 4;
// Opens a connection: cancels a running answer, drops a half-typed line, closes a half-sent frame.
export const ATTENTION = Uint8Array.of(3, 0, 0);
export const UNTIL_STOP = 0xffffffff;
export const REQUESTS = {
  HELLO: 0x01,
  PROMPT: 0x02,
  CANCEL: 0x03,
  RESET: 0x04,
  SET: 0x05,
  GET: 0x06,
  LOGITS: 0x07,
  MEMORY: 0x08,
  BYE: 0x09,
  GIVE_RESULT: 0x0b,
  CARRY_OUT: 0x0c,
};
export const REPLIES = {
  HELLO: 0x81,
  OK: 0x82,
  TOKEN: 0x83,
  DONE: 0x84,
  ERROR: 0x85,
  LOGITS: 0x86,
  MEMORY: 0x87,
  SETTINGS: 0x88,
  PROGRESS: 0x89,
  CALL: 0x8a,
  RESULT: 0x8b,
};
export const REASONS = { 1: "stop", 2: "length", 3: "cancelled", 4: "context" };
export const ERRORS = {
  1: "corrupt",
  2: "bad_request",
  3: "version",
  4: "busy",
  5: "bad_value",
  6: "too_long",
  7: "no_logits",
  8: "model",
};
// What a CALL says of the board's handler.
export const HANDLER = { NONE: 0, CARRIED_OUT: 1, ASKED_FIRST: 2 };
const KINDS = { text: 0, tokens: 1, chat: 2 };
const ASKS_FIRST = 0x80;

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// A frame arrived whole, but its body is not what its type promises.
export class MalformedBody extends Error {}

// --- Requests: each is {type, body} ---------------------------------------------------------------------------------

const request = (type, ...parts) => ({ type, body: Uint8Array.from(parts.flatMap((part) => [...part])) });
const u8 = (value) => [value];
const u16 = (value) => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value) => [...u16(value & 0xffff), ...u16(value >>> 16)];

export const hello = () => request(REQUESTS.HELLO, u8(PROTOCOL_VERSION));
export const cancel = () => request(REQUESTS.CANCEL);
export const reset = () => request(REQUESTS.RESET);
export const set = (setting, value) => request(REQUESTS.SET, u8(setting), u32(value));
export const get = () => request(REQUESTS.GET);
export const logits = (first, count) => request(REQUESTS.LOGITS, u32(first), u16(count));
export const memory = () => request(REQUESTS.MEMORY);
export const bye = () => request(REQUESTS.BYE);
export const giveResult = (text) => request(REQUESTS.GIVE_RESULT, encoder.encode(text));
export const carryOut = () => request(REQUESTS.CARRY_OUT);

// content: text, or token ids as an array. chat: the text is a turn for the board's chat template. asksFirst: the board
// asks this side before it carries out a call.
export function prompt(maxTokens, content, chat = false, asksFirst = false) {
  const isText = typeof content === "string";
  const kind = isText ? (chat ? KINDS.chat : KINDS.text) : KINDS.tokens;
  const rest = isText ? encoder.encode(content) : content.flatMap(u32);
  return request(REQUESTS.PROMPT, u32(maxTokens), u8(kind | (asksFirst ? ASKS_FIRST : 0)), rest);
}

// --- Replies: each is {type, ...fields} -----------------------------------------------------------------------------

class Body {
  #at = 0;

  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left() {
    return this.bytes.length - this.#at;
  }

  #take(size) {
    if (this.left < size) throw new MalformedBody(`${this.bytes.length} bytes, expected more`);
    this.#at += size;
    return this.#at - size;
  }

  u8() {
    return this.view.getUint8(this.#take(1));
  }

  u16() {
    return this.view.getUint16(this.#take(2), true);
  }

  u32() {
    return this.view.getUint32(this.#take(4), true);
  }

  i32() {
    return this.view.getInt32(this.#take(4), true);
  }

  hex(size) {
    const start = this.#take(size);
    return hex(this.bytes.subarray(start, start + size));
  }

  string() {
    const size = this.u8();
    const start = this.#take(size);
    return utf8(this.bytes.subarray(start, start + size));
  }

  // All remaining bytes as text. lossy: bytes that are not UTF-8 become U+FFFD; else they are an error.
  text(lossy = false) {
    const rest = this.bytes.subarray(this.#take(this.left));
    return lossy ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(rest) : utf8(rest);
  }

  // Call `one` until the body ends; return the list of what it read.
  all(one) {
    const found = [];
    while (this.left) found.push(one());
    return found;
  }
}

function utf8(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    throw new MalformedBody("text that is not UTF-8");
  }
}

export const hex = (bytes, between = "") => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(between);

const READERS = {
  [REPLIES.HELLO]: (body) => ({
    version: body.u8(),
    context: body.u32(),
    vocab_size: body.u32(),
    text_max: body.u32(),
    context_used: body.u32(),
    conversation_digest: body.u32(),
    corrupt_frames: body.u32(),
    model_hash: body.hex(8),
    build_id: body.hex(8),
    model: body.string(),
    board: body.string(),
    firmware: body.string(),
    chat: body.u8(),
    kernels: body.string(),
    kernels_agree: body.u8(),
    // Older firmware sends no such fields. Its weights are always in the program.
    ...(body.left ? { weights: body.u8(), layout: body.hex(8) } : { weights: 0, layout: "0".repeat(16) }),
  }),
  [REPLIES.OK]: (body) => ({ request: body.u8() }),
  [REPLIES.TOKEN]: (body) => ({ index: body.u32(), token: body.u32(), text: body.text() }),
  [REPLIES.DONE]: (body) => ({
    reason: body.u8(),
    prompt_tokens: body.u32(),
    tokens: body.u32(),
    prefill_us: body.u32(),
    decode_us: body.u32(),
    digest: body.u32(),
    context_used: body.u32(),
    conversation_digest: body.u32(),
    text: body.text(),
  }),
  [REPLIES.ERROR]: (body) => ({ code: body.u8(), request: body.u8(), message: body.text() }),
  [REPLIES.LOGITS]: (body) => ({ first: body.u32(), values: body.all(() => body.i32()) }),
  [REPLIES.MEMORY]: (body) => ({ entries: body.all(() => [body.string(), body.u32()]) }),
  [REPLIES.SETTINGS]: (body) => ({ entries: body.all(() => [body.u8(), body.u32()]) }),
  [REPLIES.PROGRESS]: (body) => ({ done: body.u32(), total: body.u32() }),
  [REPLIES.CALL]: (body) => ({ answered: body.u8(), text: body.text() }),
  [REPLIES.RESULT]: (body) => ({
    tokens: Array.from({ length: body.u16() }, () => body.u32()),
    text: body.text(true),
  }),
};

// The reply in a frame. Throws MalformedBody for an unknown type or a wrong body. A HELLO of another protocol version
// gives only its version.
export function parseReply({ type, body }) {
  const read = READERS[type];
  if (!read) throw new MalformedBody(`unknown reply type ${hex([type])}`);
  if (type === REPLIES.HELLO && body.length && body[0] !== PROTOCOL_VERSION) return { type, version: body[0] };
  const reader = new Body(body);
  const reply = { type, ...read(reader) };
  if (reader.left) throw new MalformedBody(`${body.length} bytes, expected ${body.length - reader.left}`);
  return reply;
}

const CRC32 = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

// CRC-32 (IEEE 802.3) over token ids as u32 each, continuing from `digest`.
export function tokenDigest(tokens, digest = 0) {
  let crc = ~digest;
  for (const byte of tokens.flatMap(u32)) crc = CRC32[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// --- For people -----------------------------------------------------------------------------------------------------

const nameOf = (table, type) => Object.keys(table).find((name) => table[name] === type);

// One line of text about a frame or about stray bytes.
export function describe({ frame, stray }) {
  if (stray) {
    const text = new TextDecoder().decode(stray);
    const readable = !/[\p{Cc}\ufffd]/u.test(text.replace(/[\r\n\t]/g, ""));
    return readable ? `text ${JSON.stringify(text)}` : `damaged: ${hex(stray, " ")}`;
  }
  const { type, sequence, body } = frame;
  const request = nameOf(REQUESTS, type);
  if (request) return `#${sequence} ${request} ${hex(body, " ")}`.trimEnd();
  try {
    const { type: _, ...fields } = parseReply(frame);
    const said = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return `#${sequence} ${nameOf(REPLIES, type)} ${said.join(" ")}`;
  } catch (error) {
    return `#${sequence} type ${hex([type])}, malformed (${error.message}): ${hex(body, " ")}`;
  }
}
