// The connection to one session's events: made, lost, and made again.

import { call, path, problemOf } from "./api.js";
import { EVENTS, STREAM_ENDS } from "../state/vocabulary.js";

// The events of agents that the page shows; the others are for other clients.
const AGENT_EVENTS = ["delta", "upstream_error"];

const LONGEST_WAIT = 8000;

export class Stream {
  #source = null;
  #timer = null;
  #tries = 0;
  #attempt = 0;
  #connected = false;

  // The chat gets the events, inside of change(); on(state, note) gets the state of the connection.
  constructor(chat, change, on) {
    Object.assign(this, { chat, change, on });
  }

  close() {
    this.#attempt += 1; // what an older attempt still waits for no longer counts
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // Every connection begins with a ticket: EventSource sends no token and shows no status code, the request for
  // a ticket does both. The cursor is part of the address.
  async connect() {
    this.close();
    const attempt = this.#attempt;
    const { session } = this.chat;
    const answer = await call("POST", "chat/ticket", { log_ids: [session] });
    if (attempt !== this.#attempt) return;
    if (answer.status === 422 || answer.status === 403) this.#refuse("refused", problemOf(answer));
    else if (!answer.ok) this.#connectLater();
    else {
      const { ticket } = answer.data;
      const query = new URLSearchParams({ ticket, last_event_id: this.chat.cursor ?? "0", close_on: "never" });
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
    for (const name of [...AGENT_EVENTS, ...EVENTS]) {
      if (name === "close") on(name, (_id, text) => this.#onClose(text));
      else on(name, (id, data) => this.chat.onEvent(name, id, JSON.parse(data)));
    }
    source.onopen = () => {
      this.#connected = true;
      this.on("connected");
    };
    source.onerror = () => source === this.#source && this.#onLost(source.readyState === EventSource.CLOSED);
    this.#source = source;
  }

  // A Stop ends no stream that was opened with close_on=never: the next turn is read on the same one.
  #onClose(text) {
    const next = STREAM_ENDS[text] ?? "later";
    if (next === "never") this.#refuseClosed();
    else if (next === "later") this.#connectLater();
  }

  // Where the server has answered, but with no stream, the session may be closed. If it is not, the server shuts
  // down, or this user has too many streams, and it is asked again.
  async #onLost(answered) {
    this.#connectLater();
    const attempt = this.#attempt;
    if (!answered) return;
    const { data } = await call("GET", path(this.chat.session));
    if (attempt === this.#attempt && data.state === "closed") this.#refuseClosed();
  }

  #refuseClosed() {
    this.#refuse("closed", "This session is closed. Start a new one.");
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
