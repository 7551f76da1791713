// One session's turns, from its events and from the answers to this page's requests. Pure.

import { STATUSES } from "./vocabulary.js";

export const isInFlight = ({ status }) => status === "sending" || Boolean(STATUSES[status]?.inFlight);

// Whether the server has left out some parts of a message because they are large.
export const isElided = (message) => Array.isArray(message) && message.some((part) => part?.elided);

const numbers = (id) => id.split("-").map(Number);

const isBefore = ([epoch, n], [otherEpoch, otherN]) => epoch < otherEpoch || (epoch === otherEpoch && n < otherN);

// Drop what a turn showed of an attempt after its event `kept`, or all of that attempt: the server does not have it.
export function dropAfter(turn, kept) {
  const last = kept ? numbers(kept) : [turn.epoch, -1];
  turn.marks = turn.marks.filter(({ id }) => !isBefore(last, id));
  turn.text = turn.text.slice(0, turn.marks.at(-1)?.length ?? 0);
}

export class Chat {
  // Turns {id, epoch, message, agent, text, marks, status, record, answer, stopping, detail, cut, why, goesOn}, and
  // {note, gap}. `marks` are how long the text was after each event; `goesOn` is between two attempts.
  items = [];
  // The turns that wait for the session: {task_id, position, waits_for, not_before}, in order.
  queue = [];
  cursor = null;
  draft = "";
  // The last messages that the server kept, as {turns, upTo, known, omitted}: all up to the event `upTo`, `omitted`
  // before them, and `known` ones in `turns`. And whether to ask for them.
  history = null;
  wantsHistory = true;
  // What became of the request for earlier ones: "", "asking", or "failed".
  earlier = "";

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
    const { turns, upTo, known: messages, omitted } = this.history ?? {};
    if (!turns?.length) return false;
    if (this.cursor && isBefore(numbers(this.cursor), upTo)) return false; // the replay is still on its way
    const known = this.items.filter((item) => item.epoch && item.epoch <= upTo[0]);
    // As many turns as there would be of all messages, if those before were like the ones that are here.
    const said = turns.filter(({ message }) => message).length * (1 + omitted / messages);
    return !known.length || known.some(({ cut }) => cut) || said > known.length;
  }

  // How many messages the server has before those that are shown.
  get omitted() {
    return this.#isIncomplete() ? this.history.omitted : 0;
  }

  #known(id, epoch) {
    return this.items.findLast((item) => (id && item.id === id) || (epoch && item.epoch === epoch));
  }

  // The turn of an event. Where its turn.started is no longer kept, a turn is made that says so.
  #turnFor(id, epoch) {
    const unknown = { id, epoch, message: null, text: "", marks: [], status: "running", cut: Boolean(epoch) };
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
    else if (name === "turn.places") this.queue = data.queue;
    else if (name === "delta") this.#onDelta(this.#turnFor(null, epoch), data, id);
    else if (name === "upstream_error") this.#turnFor(null, epoch).why = typeof data?.message === "string" ? data.message : "";
    else if (name === "turn.interrupted") this.#onInterrupted(this.#turnFor(data.task_id, epoch), data);
    else this.#onRecord(this.#turnFor(data.task_id, epoch), data);
  }

  #onDelta(turn, data, id) {
    turn.text += typeof data?.text === "string" ? data.text : "";
    turn.marks.push({ id: numbers(id), length: turn.text.length });
  }

  #onStarted(turn, data, epoch) {
    this.items = [...this.items.filter((item) => item !== turn), turn]; // the newest, also if another client sent it
    const { task_id: id, agent } = data;
    const message = isElided(data.message) ? (turn.message ?? data.message) : data.message; // this page may have sent it
    const begun = turn.goesOn ? {} : { text: "", marks: [], cut: false };
    Object.assign(turn, { id, epoch, message, agent, ...begun, status: "running", goesOn: false });
  }

  // The end of the turn, or of one attempt: then the next one starts by itself, and goes on in the same place.
  #onInterrupted(turn, data) {
    const goesOn = data.will_continue === true;
    const kept = data.from_start ? null : data.kept; // its next attempt says everything again
    if ("kept" in data) dropAfter(turn, kept); // an older server does not say
    this.#onRecord(turn, data);
    if (goesOn) Object.assign(turn, { status: "queued", goesOn, why: "" });
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
    this.queue = queue;
    for (const ours of this.items.filter((item) => isInFlight(item) && item.status !== "sending")) {
      const record = [turn, ...queue].find((each) => each?.task_id === ours.id);
      if (record) this.#onRecord(ours, record);
      else ours.status = "lost";
    }
  }

  note(text, gap = false) {
    if (this.items.at(-1)?.note !== text) this.items.push({ note: text, gap });
  }

  onHistory(turns, { messages, omitted, cursor }) {
    this.history = { turns, upTo: numbers(cursor ?? "0-0"), known: messages.length, omitted };
  }

  // Messages from before those that are here, and all turns now; none if the server has dropped what came before.
  onEarlier(turns, { messages, omitted }) {
    const { history } = this;
    this.earlier = "";
    Object.assign(history, { turns, known: history.known + messages.length, omitted: messages.length ? omitted : 0 });
  }

  onNoHistory(isAskedAgain) {
    this.history ??= { turns: [], upTo: [0, 0], known: 0, omitted: 0 };
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
