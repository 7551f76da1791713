// One session's turns, from its events and from the answers to this page's requests. Pure.

import { STATUSES } from "./vocabulary.js";

export const isInFlight = ({ status }) => status === "sending" || Boolean(STATUSES[status]?.inFlight);

// Whether the server has left out some parts of a message because they are large.
export const isElided = (message) => Array.isArray(message) && message.some((part) => part?.elided);

const numbers = (id) => id.split("-").map(Number);

const isBefore = ([epoch, n], [otherEpoch, otherN]) => epoch < otherEpoch || (epoch === otherEpoch && n < otherN);

export class Chat {
  // Turns {id, epoch, message, agent, text, status, record, answer, stopping, detail, cut, why}, and {note, gap}.
  items = [];
  cursor = null;
  draft = "";
  // The messages that the server kept, as {turns, upTo}: all up to the event `upTo`. And whether to ask for them.
  history = null;
  wantsHistory = true;

  constructor(session) {
    this.session = session;
  }

  get current() {
    return this.items.findLast(isInFlight);
  }

  get firstMessage() {
    return this.shown.find((item) => item.message)?.message;
  }

  // Where events are missing, the kept messages stand for all turns up to there.
  get shown() {
    if (!this.#isIncomplete()) return this.items;
    const [epoch] = this.history.upTo;
    const follows = (item) => (item.epoch ? item.epoch > epoch : !item.gap);
    return [...this.history.turns, ...this.items.filter(follows)];
  }

  #isIncomplete() {
    const { turns, upTo } = this.history ?? {};
    if (!turns?.length) return false;
    if (this.cursor && isBefore(numbers(this.cursor), upTo)) return false; // the replay is still on its way
    const known = this.items.filter((item) => item.epoch && item.epoch <= upTo[0]);
    const said = turns.filter(({ message }) => message).length;
    return !known.length || known.some(({ cut }) => cut) || said > known.length;
  }

  #known(id, epoch) {
    return this.items.findLast((item) => (id && item.id === id) || (epoch && item.epoch === epoch));
  }

  // The turn of an event. Where its turn.started is no longer kept, a turn is made that says so.
  #turnFor(id, epoch) {
    const unknown = { id, epoch, message: null, text: "", status: "running", cut: Boolean(epoch) };
    const turn = this.#known(id, epoch) ?? unknown;
    if (!this.items.includes(turn)) this.items.push(turn);
    return turn;
  }

  // -- Events ---------------------------------------------------------------------------------------------

  #isNew(id) {
    return isBefore(numbers(this.cursor ?? "0-0"), numbers(id));
  }

  // `id` is null for an event that does not move the cursor. Such an event may come twice; that changes nothing.
  onEvent(name, id, data) {
    if (id && !this.#isNew(id)) return;
    if (id) this.cursor = id;
    const epoch = id && numbers(id)[0];
    if (name === "gap") this.#onGap();
    else if (name === "snapshot") this.#onSnapshot(data);
    else if (name === "turn.started") this.#onStarted(this.#turnFor(data.task_id, epoch), data, epoch);
    else if (name === "delta") this.#turnFor(null, epoch).text += typeof data?.text === "string" ? data.text : "";
    else if (name === "upstream_error") this.#turnFor(null, epoch).why = typeof data?.message === "string" ? data.message : "";
    else this.#onRecord(this.#turnFor(data.task_id, epoch), data);
  }

  #onStarted(turn, data, epoch) {
    this.items = [...this.items.filter((item) => item !== turn), turn]; // the newest, also if another client sent it
    const { task_id: id, agent } = data;
    const message = isElided(data.message) ? (turn.message ?? data.message) : data.message; // this page may have sent it
    Object.assign(turn, { id, epoch, message, agent, text: "", status: "running", cut: false });
  }

  #onRecord(turn, record) {
    Object.assign(turn, { id: record.task_id, agent: record.agent, record, status: record.status });
  }

  #onGap() {
    this.cursor = null;
    this.wantsHistory = true;
    this.note("Something is missing here: the server no longer keeps what happened in between.", true);
  }

  // After a gap the snapshot counts: a turn that it does not have is gone.
  #onSnapshot({ turn, queue }) {
    for (const ours of this.items.filter((item) => isInFlight(item) && item.status !== "sending")) {
      const record = [turn, ...queue].find((each) => each?.task_id === ours.id);
      if (record) this.#onRecord(ours, record);
      else ours.status = "lost";
    }
  }

  note(text, gap = false) {
    if (this.items.at(-1)?.note !== text) this.items.push({ note: text, gap });
  }

  onHistory(turns, cursor) {
    this.history = { turns, upTo: numbers(cursor ?? "0-0") };
  }

  onNoHistory(isAskedAgain) {
    this.history ??= { turns: [], upTo: [0, 0] };
    this.wantsHistory ||= isAskedAgain; // when it is connected again
  }

  // -- Answers --------------------------------------------------------------------------------------------

  onSendAnswered(turn, answer, problem) {
    // The turn's events may have come before this answer.
    const status = answer.ok ? answer.data.task_status : "unsent";
    const detail = answer.status ? `Not sent: ${problem}.` : "No answer: the server may not have received this.";
    if (turn.status === "sending") Object.assign(turn, { status, detail: answer.ok ? "" : detail });
    const { task_id: id, verdict, settled_after_ms: ms } = answer.data.superseded ?? {};
    const old = this.#known(id);
    if (old) old.answer = { cause: "superseded", verdict, ms };
  }

  onStopAnswered(turn, answer, problem) {
    const { verdict, settled_after_ms: ms, turn: record } = answer.data;
    turn.stopping = false;
    if (verdict) turn.answer = { cause: "user_request", verdict, ms };
    else turn.detail = `The outcome of Stop is not known: ${problem}.`;
    if (record && isInFlight(turn)) this.#onRecord(turn, record);
  }
}
