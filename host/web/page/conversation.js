// A conversation with a board. The page remembers it too, so that it outlives the board's memory. It is
// host/chat/conversation.py in JavaScript. A replay of the same prompts and answers on the same model must give the
// digest that the board reported before. Equal digests prove that the board holds the same tokens again.

import { HANDLER, REASONS, REPLIES, tokenDigest } from "./messages.js";
import { Refused } from "./link.js";

const OVERFLOW = 8;
const SLIDE = 0;

// After a replay the board holds other tokens than before, or it runs another model.
export class ReplayDiffers extends Error {}

// Turns are {prompt, chat, maxTokens, answer, text, parts, results, awaitsResult, done}. answer: token ids, including
// those of calls' results. results: how many of the ids are of results. parts: {text} or {call, result}, to be shown.
// awaitsResult: the last call has no result yet. done: the board's DONE, null while there is none.
export class Conversation {
  constructor(hello, turns = []) {
    this.modelHash = hello.model_hash;
    this.model = hello.model;
    this.turns = turns;
  }

  // The conversation from a document that JSON.stringify wrote; null if it is not a conversation with this model.
  static from(document, hello) {
    const whole = document?.modelHash === hello.model_hash && Array.isArray(document.turns);
    return whole && document.turns.every((turn) => turn.done && Array.isArray(turn.answer))
      ? new Conversation(hello, document.turns)
      : null;
  }

  // The last turn if its answer was cut short, else null.
  get interrupted() {
    const last = this.turns.at(-1);
    return last && !last.done ? last : null;
  }

  // Send a prompt, remember it and its answer, and yield the replies. A refused prompt is forgotten.
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

  // Give the board the finished turns again, by prefill alone. Returns false if it cannot be proved exact.
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
      // A prompt that was cancelled before its answer began was read in part then, and is read whole now.
      exact &&= !(REASONS[turn.done.reason] === "cancelled" && !turn.answer.length);
      if (exact) throw new ReplayDiffers("The board holds other tokens after the replay. Begin a new conversation.");
      turn.done.conversation_digest = held.conversation_digest;
    }
    return exact;
  }

  // Go on with the interrupted answer and yield the new replies. The board must hold the finished turns.
  async *resume(link) {
    const turn = this.interrupted;
    if (!turn) return;
    let left = turn.maxTokens - (turn.maxTokens === 0xffffffff ? 0 : turn.answer.length - turn.results);
    let events;
    if (turn.answer.length) {
      // Drop the token that ends the call: the model gives it again, and the board then sends CALL again.
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
// meanwhile, whatever the present setting, because it did so when the turn was new.
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
