// The connection to one session's events: made, lost, and made again.

import { call, path, problemOf } from "./api.js";
import { TURN_EVENTS } from "../state/conversation.js";

const LONGEST_WAIT = 8000;

export class Stream {
  #source = null;
  #timer = null;
  #tries = 0;
  #attempt = 0;
  #connected = false;

  // The conversation is told events; on(connection, words) how the connection stands, and why it ended.
  constructor(conversation, change, on) {
    Object.assign(this, { conversation, change, on });
  }

  close() {
    this.#attempt += 1; // whatever an older attempt still waits for is not wanted any more
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // Every connection, the first as well as a later one, asks for a ticket: EventSource sends no token and
  // shows no status code, this request does both. The cursor travels in the address.
  async connect() {
    this.close();
    const attempt = this.#attempt;
    const { session } = this.conversation;
    const answer = await call("POST", "chat/ticket", { log_ids: [session] });
    if (attempt !== this.#attempt) return;
    if (answer.status === 422 || answer.status === 403) this.#refuse("refused", problemOf(answer));
    else if (!answer.ok) this.#connectLater();
    else {
      const query = new URLSearchParams({ ticket: answer.data.ticket, last_event_id: this.conversation.cursor ?? "0" });
      this.#listen(new EventSource(`${path(session, "events")}?${query}`));
    }
  }

  #listen(source) {
    let last = ""; // an event without an id carries the one before it
    const on = (name, handle) =>
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        const id = event.lastEventId === last ? null : event.lastEventId;
        last = event.lastEventId;
        this.change(() => handle(id, event.data));
      });
    for (const name of ["delta", "gap", "snapshot", "upstream_error", ...TURN_EVENTS.map((each) => `turn.${each}`)]) {
      on(name, (id, data) => this.conversation.onEvent(name, id, JSON.parse(data)));
    }
    on("close", (_id, text) => this.#onClose(text));
    source.onopen = () => {
      this.#connected = true;
      this.on("connected");
    };
    source.onerror = () => source === this.#source && this.#onLost(source.readyState === EventSource.CLOSED);
    this.#source = source;
  }

  // The server ends a stream after a Stop; what comes next is read on a new one.
  #onClose(text) {
    if (text === "Session closed") this.#refuse("closed", "This session is closed. Start a new one.");
    else if (text.startsWith("Task ")) this.connect();
    else this.#connectLater();
  }

  async #onLost(answered) {
    this.#connectLater();
    const attempt = this.#attempt;
    if (!answered) return;
    const { status } = await call("GET", path(this.conversation.session));
    if (status !== 404 || attempt !== this.#attempt) return;
    this.#refuse("refused", "This session is not yours. Start a new one.");
  }

  #connectLater() {
    this.close();
    this.#tries = this.#connected ? 0 : this.#tries + 1;
    this.#connected = false;
    const wait = Math.min(LONGEST_WAIT, 250 * 2 ** this.#tries) * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), wait);
    this.on("reconnecting");
  }

  #refuse(connection, words) {
    this.close();
    this.on(connection, words);
  }
}
