// One board and the conversation with it, through loss and reconnection. Callbacks tell the page what happens.

import { Conversation } from "./conversation.js";
import { BoardGone, Link, LostFrame } from "./link.js";

const KEPT = "tinyllm-conversation";

export class Session {
  link = null;
  conversation = null;
  answering = false;
  #port = null;
  #resetting = null; // The promise that the board has forgotten its conversation.
  #waiting = null; // The AbortController that ends the wait for a lost board.

  // page: callbacks state(text), trouble(text), changed() if the board or the conversation changed, reply(reply) for
  // each reply of an answer, and answerCall(call). settings: a Settings. log: as Link.
  constructor(site, settings, page, log) {
    Object.assign(this, { site, settings, page, log });
  }

  get connected() {
    return this.link !== null;
  }

  // Whether a board is connected, or a lost one is waited for.
  get attached() {
    return this.#port !== null;
  }

  // Connect to the board on a port and restore its conversation. Errors as Link and Conversation.
  async connect(port) {
    this.#port = port;
    try {
      await this.#open();
    } catch (error) {
      await this.disconnect();
      throw error;
    }
    await this.#restore();
  }

  async #open() {
    const link = new Link(this.#port, this.site.strangers, this.log);
    link.answerCall = (call) => this.page.answerCall(call);
    await link.open();
    link.onlost = (error) => this.#lost(link, error);
    this.link = link;
    await this.settings.load(link);
  }

  // Replay the conversation if the board has lost it, and go on with an answer that was cut short.
  async #restore() {
    const { hello } = this.link;
    this.conversation ??= Conversation.from(kept(), hello) ?? new Conversation(hello);
    if (this.conversation.modelHash !== hello.model_hash) {
      if (this.conversation.turns.length) {
        this.page.trouble(`The board runs another model now, ${hello.model}. This is a new conversation.`);
      }
      this.conversation = new Conversation(hello);
    }
    this.page.changed();
    if (hello.weights !== 0) return;
    if (!this.conversation.heldBy(hello)) await this.#replay();
    if (this.conversation.interrupted) await this.#answer(this.conversation.resume(this.link));
    this.page.changed();
  }

  // Replay the conversation. `answering` is true meanwhile, so that nothing else is asked.
  async #replay() {
    this.answering = true;
    this.page.changed();
    if (this.conversation.turns.length) this.page.state("giving the board its conversation back");
    try {
      await this.conversation.replay(this.link);
    } finally {
      this.answering = false;
      this.page.changed();
    }
  }

  // Ask the model. Errors as Link.prompt. If the board is lost, the answer goes on when the board is back.
  async ask(text) {
    const chat = Boolean(this.link.hello.chat) && this.settings.template.input.checked;
    await this.#answer(this.conversation.ask(this.link, text, this.settings.maxTokens, chat));
  }

  async #answer(replies) {
    this.answering = true;
    this.page.changed();
    try {
      await this.#resetting;
      await this.settings.apply(this.link);
      for await (const reply of replies) this.page.reply(reply);
      keep(this.conversation);
    } catch (error) {
      if (error instanceof LostFrame) {
        this.page.state("a frame was lost; asking again");
        await this.link.updateHello();
        return await this.#restore();
      }
      // If the board was lost, #lost waits for it and then goes on with the answer.
      if (!(error instanceof BoardGone && !this.link)) throw error;
    } finally {
      this.answering = false;
      this.page.changed();
    }
  }

  stop() {
    this.link?.stop();
  }

  // Begin a new conversation. What is asked before the board has forgotten the old one waits for that.
  async anew() {
    if (this.#resetting) return;
    sessionStorage.removeItem(KEPT);
    this.conversation = this.link ? new Conversation(this.link.hello) : null;
    this.page.changed();
    try {
      await (this.#resetting = this.link?.reset());
    } finally {
      this.#resetting = null;
    }
  }

  async disconnect() {
    this.#waiting?.abort();
    const { link } = this;
    this.link = null;
    const port = this.#port;
    this.#port = null;
    if (link) await link.close();
    else await port?.close();
    this.page.changed();
  }

  async #lost(link, error) {
    if (this.link !== link) return;
    this.link = null;
    this.page.trouble(`${error.message} The conversation goes on when it is back.`);
    this.page.changed();
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    while (!signal.aborted && this.#port) {
      try {
        await this.#port.whenBack(signal);
        await this.#open();
      } catch {
        continue; // The board is not there yet, or is still starting.
      }
      this.page.trouble("");
      await this.#restore().catch((again) => this.page.trouble(again.message));
      return;
    }
  }
}

// The conversation that this browser tab had before the page was reloaded.
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

function keep(conversation) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(conversation));
  } catch {
    // A private window may store nothing. The conversation still works, but does not survive a reload.
  }
}
