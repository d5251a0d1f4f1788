// The link to one board: requests and replies in the program voice of docs/protocol.md. It is host/link/link.py in
// JavaScript.

import * as messages from "./messages.js";
import { encodeFrame, FrameReader } from "./frames.js";

const { REPLIES, HANDLER } = messages;
const HELLO_MS = 1000;
const HANDSHAKE_MS = 6000;
// How long to wait for a reply before a request is repeated. A board looks for input between two forward passes.
const REPLY_MS = [500, 1000, 2000, 4000, 8000];
const BYE_MS = 500;
// After this long without a frame in mid-answer, the board is asked whether it is still at work.
const QUIET_MS = 2000;
const SILENCE_MS = 30000;
const STUCK_MS = 300000;
const SHOWN_BYTES = 60;
const KEPT_STRAY = 1024;
export const NO_HANDLER = "error: no handler";

// The connection broke or the board fell silent.
export class BoardGone extends Error {}
// The board is connected, but a frame that it sent never arrived.
export class LostFrame extends Error {}
// The program that answers is not tinyllm, or has another protocol version.
export class Stranger extends Error {}
// The board answered a request with ERROR; `code` says why.
export class Refused extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

const VERSION = 3;
const BUSY = 4;
const TOO_LONG = 6;
// Put into every inbox when the link ends: no more replies will come.
const END = { type: 0 };

const isSameCall = (reply, call) =>
  call !== null && reply.type === REPLIES.CALL && reply.answered === call.answered && reply.text === call.text;

// Throws LostFrame if a call or its result is missing before this reply. called: the CALL whose result has not come, or
// null. ended: the token before ended a call, so that its CALL must come next.
function checkCall(called, ended, reply) {
  const cancelled = reply.type === REPLIES.DONE && messages.REASONS[reply.reason] === "cancelled";
  const goesOn = [REPLIES.TOKEN, REPLIES.DONE].includes(reply.type) && !cancelled;
  const lostResult = called !== null && (goesOn || reply.type === REPLIES.CALL);
  const lostCall = called === null && (reply.type === REPLIES.RESULT || (ended && goesOn));
  if (lostResult || lostCall) throw new LostFrame("A call of the answer, or its result, never arrived.");
}

// A queue of the replies to one request or more.
class Inbox {
  #replies = [];
  #wake = () => {};

  put(reply) {
    this.#replies.push(reply);
    this.#wake();
  }

  // The next reply; null if none came by `deadline` (of performance.now()).
  async next(deadline) {
    if (!this.#replies.length) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()));
        this.#wake = () => (clearTimeout(timer), resolve());
      });
    }
    return this.#replies.shift() ?? null;
  }
}

export class Link {
  #port;
  #reader = new FrameReader();
  #inboxes = new Map(); // By sequence number.
  #sequence = Math.floor(Math.random() * 256);
  #unsettled = true; // An answer that nobody waits for may be under way.
  #lost = null;
  #stray = [];
  #echoed = 0;
  #stopping = false;
  // The reply to a call that the board may not have got yet. If it is sent again it keeps its sequence number, so that
  // the board does not take it for the reply to the next call.
  #given = null;
  #callEnd = null; // The token that ends a call, known after the first call.

  // strangers: from site.json. log(way, item): called with every frame and all stray bytes; way as in FrameLog.add.
  constructor(port, strangers, log) {
    this.#port = port;
    this.strangers = strangers.map(({ sign, told }) => ({ sign: new RegExp(sign), told }));
    this.log = log;
    this.hello = null;
    this.onlost = () => {};
    this.asksFirst = false;
    // Returns the result of a call that waits for one; null leaves the call to the board's handler.
    this.answerCall = async () => NO_HANDLER;
    port.onbytes = (bytes) => this.#arrived(bytes);
    port.onlost = () => this.#end(new BoardGone("The board went away. Plug it in again."));
  }

  // Open the port, exchange HELLO, and end an answer that may be under way.
  async open() {
    await this.#port.open();
    try {
      this.hello = await this.#sayHello();
      await this.#settle();
    } catch (error) {
      await this.#port.close();
      throw error;
    }
    return this.hello;
  }

  // If the board is still there, let it return to the text voice (BYE). Close the port.
  async close() {
    if (!this.#lost) {
      const inbox = new Inbox();
      await this.#send(messages.bye(), inbox).then(
        () => inbox.next(performance.now() + BYE_MS),
        () => {},
      );
    }
    this.#lost ??= new BoardGone("The port is closed.");
    await this.#port.close();
  }

  // --- Requests -----------------------------------------------------------------------------------------------------

  async updateHello() {
    this.hello = await this.#ask(messages.hello(), REPLIES.HELLO);
    return this.hello;
  }

  // Make the board forget the conversation. Settings stay; the random numbers restart from the seed.
  async reset() {
    await this.#ask(messages.reset(), REPLIES.OK);
  }

  // Change a setting. value: as on the wire.
  async set(setting, value) {
    await this.#ask(messages.set(setting, value), REPLIES.OK);
  }

  // All settings: number -> value as on the wire.
  async get() {
    return Object.fromEntries((await this.#ask(messages.get(), REPLIES.SETTINGS)).entries);
  }

  // The parts of the board's memory map: [name, bytes] of each.
  async memory() {
    return (await this.#ask(messages.memory(), REPLIES.MEMORY)).entries;
  }

  // Ask the board to end the answer under way.
  stop() {
    this.#stopping = true;
    this.#send(messages.cancel(), new Inbox()).catch(() => {});
  }

  // Append to the conversation and yield progress, tokens, calls and their results and, last, DONE.
  //
  // content: text, or token ids as an array. maxTokens: 0 prefills only. Throws LostFrame if token indices, count or
  // digest show a gap. A caller that leaves early cancels the answer.
  async *prompt(content, maxTokens, chat = false) {
    if (typeof content === "string" && new TextEncoder().encode(content).length > this.hello.text_max) {
      throw this.#refusal({ code: TOO_LONG });
    }
    await this.#settle();
    this.#stopping = false;
    this.#given = null;
    const inbox = new Inbox();
    const sequence = await this.#send(messages.prompt(maxTokens, content, chat, this.asksFirst), inbox);
    this.#unsettled = true;
    const tokens = [];
    let called = null; // The call whose result has not come yet.
    let ended = false; // The last token ended a call, so a CALL must come next.
    try {
      for await (const reply of this.#replies(inbox, sequence)) {
        if (isSameCall(reply, called)) continue; // The board repeats a call that waits for its result.
        checkCall(called, ended, reply);
        ended = ended && reply.type === REPLIES.PROGRESS;
        if (reply.type === REPLIES.CALL) {
          called = reply;
          this.#callEnd = tokens.at(-1) ?? null;
        }
        if (reply.type === REPLIES.RESULT) this.#given = called = null;
        if (reply.type === REPLIES.TOKEN) {
          if (reply.index !== tokens.length) {
            throw new LostFrame(`Token ${tokens.length} of the answer never arrived (token ${reply.index} came).`);
          }
          tokens.push(reply.token);
          ended = reply.token === this.#callEnd;
        } else if (reply.type === REPLIES.DONE) {
          this.#unsettled = false;
          if (reply.tokens !== tokens.length || reply.digest !== messages.tokenDigest(tokens)) {
            throw new LostFrame(`The board sent ${reply.tokens} tokens, ${tokens.length} arrived.`);
          }
        } else if (reply.type === REPLIES.ERROR) {
          this.#unsettled = false;
          throw this.#refusal(reply);
        }
        yield reply;
        if (reply.type === REPLIES.DONE) return;
        if (reply.type === REPLIES.CALL && reply.answered !== HANDLER.CARRIED_OUT) {
          const result = await this.answerCall(reply);
          const given = result === null ? messages.carryOut() : messages.giveResult(result ?? NO_HANDLER);
          this.#given = { request: given, sequence: await this.#send(given, new Inbox()) };
        }
      }
    } finally {
      if (this.#unsettled) await this.#send(messages.cancel(), new Inbox()).catch(() => {});
    }
  }

  // The replies to a PROMPT, while the board is connected and at work on it.
  //
  // If nothing comes, ask the board for zero logits. ERROR busy means that the answer is under way, any other error
  // that it is over or never began.
  async *#replies(inbox, sequence) {
    let heard = performance.now();
    let advanced = heard;
    let asked = 0;
    for (;;) {
      const reply = await inbox.next(Math.max(heard, asked) + QUIET_MS);
      if (reply === END) throw this.#lost;
      const now = performance.now();
      if (reply === null) {
        if (now - heard > SILENCE_MS) throw new BoardGone("The board fell silent. Reset it, or plug it in again.");
        if (now - advanced > STUCK_MS) throw new BoardGone("The board is busy and gets nowhere. Reset it.");
        if (this.#stopping) await this.#send(messages.cancel(), new Inbox());
        if (this.#given) await this.#send(this.#given.request, new Inbox(), undefined, this.#given.sequence);
        await this.#send(messages.logits(0, 0), inbox);
        asked = now;
        continue;
      }
      heard = now;
      if (reply.sequence === sequence) {
        advanced = now;
        yield reply;
        heard = advanced = performance.now(); // The caller may be slow, for instance if it asks the user.
      } else if (reply.code !== BUSY) {
        throw new LostFrame("The prompt or the end of its answer was lost on the way.");
      }
    }
  }

  // End an answer that nobody waits for, even if a request to cancel it was lost.
  async #settle() {
    if (!this.#unsettled) return;
    await this.#ask(messages.cancel(), REPLIES.OK, false);
    this.#unsettled = false;
  }

  // Send a request that may safely be repeated, and wait for its reply.
  async #ask(request, expected, settles = true) {
    if (settles) await this.#settle();
    const inbox = new Inbox();
    for (const patience of REPLY_MS) {
      await this.#send(request, inbox);
      const deadline = performance.now() + patience;
      while (performance.now() < deadline) {
        const reply = await inbox.next(deadline);
        if (reply === END) throw this.#lost;
        if (reply?.type === expected) return reply;
        if (reply?.type === REPLIES.ERROR) throw this.#refusal(reply);
      }
    }
    throw new BoardGone("The board does not answer. Reset it, or plug it in again.");
  }

  // --- Hello --------------------------------------------------------------------------------------------------------

  async #sayHello() {
    const begun = performance.now();
    const inbox = new Inbox();
    while (performance.now() - begun < HANDSHAKE_MS) {
      await this.#send(messages.hello(), inbox, messages.ATTENTION);
      const reply = await inbox.next(performance.now() + HELLO_MS);
      if (reply === END) throw this.#lost;
      const version = reply?.type === REPLIES.HELLO ? reply.version : reply?.code === VERSION ? reply.message : null;
      if (version !== null && `${version}` !== `${messages.PROTOCOL_VERSION}`) {
        throw new Stranger(
          `The board speaks protocol version ${version}, this page speaks ${messages.PROTOCOL_VERSION}. ` +
            "Flash the board again, or take the page of the same tinyllm.",
        );
      }
      if (reply?.type === REPLIES.HELLO) return reply;
      const known = this.strangers.find(({ sign }) => sign.test(this.#heard()));
      if (known) throw new Stranger(known.told);
    }
    throw new Stranger(this.#nobody());
  }

  // The bytes outside frames so far, one character a byte, to be matched with the signs of strangers.
  #heard() {
    return String.fromCharCode(...this.#stray, ...this.#reader.pending.slice(-KEPT_STRAY));
  }

  #nobody() {
    const heard = this.#heard();
    if (!heard && this.#echoed) {
      return (
        "No tinyllm answers here: the port sends back what it is sent, and nothing else. Check that TX and RX of the " +
        "adapter reach the board, or put a model on the board first."
      );
    }
    const said = heard ? `it sent ${JSON.stringify(heard.slice(0, SHOWN_BYTES))}` : "it sent nothing";
    return (
      `No tinyllm answers here (${said}). Choose another port, close other programs that use it, press the board's ` +
      "reset button, or put a model on the board first."
    );
  }

  // --- Frames -------------------------------------------------------------------------------------------------------

  // sequence: the number of a request that is sent again; 0 takes the next number. No request has the number 0: it
  // marks replies to no request.
  async #send(request, inbox, before = new Uint8Array(), sequence = 0) {
    if (this.#lost) throw this.#lost;
    sequence ||= this.#sequence = (this.#sequence % 255) + 1;
    const frame = { ...request, sequence };
    this.#inboxes.set(sequence, inbox);
    this.log(">", { frame });
    const encoded = encodeFrame(frame);
    const wire = new Uint8Array(before.length + encoded.length);
    wire.set(before);
    wire.set(encoded, before.length);
    try {
      await this.#port.write(wire);
    } catch {
      throw this.#lost ?? new BoardGone("The board went away. Plug it in again.");
    }
    return sequence;
  }

  #arrived(bytes) {
    for (const item of this.#reader.feed(bytes)) {
      if (item.frame && item.frame.type < 0x80) {
        this.#echoed += 1; // A half-duplex line sends requests back to us.
        continue;
      }
      this.log("<", item);
      if (item.stray) {
        this.#note(item.stray);
        continue;
      }
      let reply;
      try {
        reply = { ...messages.parseReply(item.frame), sequence: item.frame.sequence };
      } catch (error) {
        this.#end(new LostFrame(`A malformed reply came (${error.message}). Flash the board again.`));
        return;
      }
      this.#inboxes.get(reply.sequence)?.put(reply);
    }
  }

  #note(stray) {
    if (stray.length === 1 && stray[0] === messages.ATTENTION[0]) return; // The line sent our own byte back.
    this.#stray.push(...stray.slice(0, KEPT_STRAY - this.#stray.length));
  }

  // The link has ended: wake everything that waits for a reply.
  #end(error) {
    if (this.#lost) return;
    this.#lost = error;
    for (const inbox of new Set(this.#inboxes.values())) inbox.put(END);
    this.onlost(error);
  }

  #refusal({ code, message }) {
    if (code === TOO_LONG) {
      return new Refused(
        `That is too long: this board takes ${this.hello.context} tokens and ${this.hello.text_max} bytes at most. ` +
          "Shorten it, or begin a new conversation.",
        code,
      );
    }
    return new Refused(`The board refused (${messages.ERRORS[code] ?? `error ${code}`}): ${message}`, code);
  }
}
