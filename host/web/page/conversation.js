// A conversation with a board, remembered here too, so that it outlives the board's memory. It is
// host/chat/conversation.py in JavaScript. Replaying what was sent and answered on the same model must give the digest
// that the board reported then: that equality is the proof that the board holds the same tokens again.

import { HANDLER, REASONS, REPLIES, tokenDigest } from "./messages.js";
import { Refused } from "./link.js";

const OVERFLOW = 8;
const SLIDE = 0;

// The board holds other tokens after a replay than before, or runs another model.
export class ReplayDiffers extends Error {}

// Turns are {prompt, chat, maxTokens, answer, text, parts, results, awaitsResult, done}. answer: token ids, results of
// calls among them; results: how many those are. parts: {text} or {call, result}, for people. done: the board's DONE.
export class Conversation {
  constructor(hello, turns = []) {
    this.modelHash = hello.model_hash;
    this.model = hello.model;
    this.turns = turns;
  }

  // What JSON.stringify of a conversation gave back; null if it is none with this model.
  static from(document, hello) {
    const whole = document?.modelHash === hello.model_hash && Array.isArray(document.turns);
    return whole && document.turns.every((turn) => turn.done && Array.isArray(turn.answer))
      ? new Conversation(hello, document.turns)
      : null;
  }

  // The last turn, if its answer never came to its end.
  get interrupted() {
    const last = this.turns.at(-1);
    return last && !last.done ? last : null;
  }

  // Send a prompt, remember it and its answer, and yield what arrives. A refused prompt leaves no trace.
  async *ask(link, prompt, maxTokens, chat) {
    const turn = {
      prompt,
      chat,
      maxTokens,
      answer: [],
      text: "",
      parts: [],
      results: 0,
      awaitsResult: false,
      done: null,
    };
    this.turns.push(turn);
    try {
      for await (const reply of link.prompt(prompt, maxTokens, chat)) {
        remember(turn, reply);
        yield reply;
      }
    } catch (error) {
      if (error instanceof Refused) this.turns.pop();
      throw error;
    }
  }

  // Whether the board holds exactly the finished turns, so that `resume` can go on from there.
  heldBy(hello) {
    if (hello.model_hash !== this.modelHash || this.interrupted?.answer.length) return false;
    const finished = this.turns.filter((turn) => turn.done);
    return hello.conversation_digest === (finished.at(-1)?.done.conversation_digest ?? tokenDigest([]));
  }

  // Give the board its memory of the finished turns back, by prefill alone. False if that cannot be proved exact.
  async replay(link) {
    if (link.hello.model_hash !== this.modelHash) {
      throw new ReplayDiffers(
        `The board now runs ${link.hello.model}, the conversation was held with another model. Begin a new one.`,
      );
    }
    await link.reset();
    let exact = true;
    for (const turn of this.turns.filter(({ done }) => done)) {
      const held = await prefill(link, turn);
      if (held.conversation_digest === turn.done.conversation_digest) continue;
      // A prompt that was stopped while the board still read it is read whole this time.
      exact &&= !(REASONS[turn.done.reason] === "cancelled" && !turn.answer.length);
      if (exact) throw new ReplayDiffers("The board holds other tokens after the replay. Begin a new conversation.");
      turn.done.conversation_digest = held.conversation_digest;
    }
    return exact;
  }

  // With the finished turns in the board's memory, go on with the interrupted answer and yield what is new.
  async *resume(link) {
    const turn = this.interrupted;
    if (!turn) return;
    let left = turn.maxTokens - (turn.maxTokens === 0xffffffff ? 0 : turn.answer.length - turn.results);
    let events;
    if (turn.answer.length) {
      // The model ends such a call once more, and only then it is told again.
      if (turn.awaitsResult) {
        turn.answer.pop();
        left += turn.maxTokens === 0xffffffff ? 0 : 1;
      }
      turn.awaitsResult = false;
      await prefill(link, turn);
      events = link.prompt([], left);
    } else {
      events = link.prompt(turn.prompt, left, turn.chat);
    }
    for await (const reply of events) {
      remember(turn, reply);
      yield reply;
    }
  }
}

function remember(turn, reply) {
  const last = turn.parts.at(-1);
  if (reply.type === REPLIES.TOKEN || reply.type === REPLIES.DONE) {
    turn.text += reply.text;
    if (last && "text" in last) last.text += reply.text;
    else if (reply.text) turn.parts.push({ text: reply.text });
  }
  if (reply.type === REPLIES.TOKEN) {
    turn.answer.push(reply.token);
  } else if (reply.type === REPLIES.CALL) {
    turn.awaitsResult = reply.answered !== HANDLER.CARRIED_OUT;
    turn.parts.push({ call: reply.text, result: null });
  } else if (reply.type === REPLIES.RESULT) {
    turn.awaitsResult = false;
    turn.answer.push(...reply.tokens);
    turn.results += reply.tokens.length;
    if (last && "call" in last) last.result = reply.text;
  } else if (reply.type === REPLIES.DONE) {
    const { type, sequence, text, ...done } = reply;
    turn.done = done;
  }
}

// Append a turn to the board's conversation by prefill alone, and return the board's DONE. A full context slides
// meanwhile, as it did when the turn was new, whatever the present setting.
async function prefill(link, turn) {
  const overflow = (await link.get())[OVERFLOW];
  const size = Math.max(1, Math.min(link.hello.context, Math.floor(link.hello.text_max / 4)));
  await link.set(OVERFLOW, SLIDE);
  try {
    let held = await end(link.prompt(turn.prompt, 0, turn.chat));
    for (let start = 0; start < turn.answer.length; start += size) {
      held = await end(link.prompt(turn.answer.slice(start, start + size), 0));
    }
    return held;
  } finally {
    await link.set(OVERFLOW, overflow);
  }
}

async function end(replies) {
  let last;
  for await (last of replies);
  return last;
}
