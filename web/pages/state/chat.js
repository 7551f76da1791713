// One session's turns, from its events and from the answers to this page's requests. Pure.

import { familyOf } from "./family.js";
import { STATUSES, WAITS_FOR, WAYS } from "./vocabulary.js";

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

// Whether a turn that waits at this place stands in line, and is not the next one to hold the session.
const isInLine = ({ position, waits_for }) => position !== 0 && Boolean(WAITS_FOR[waits_for]?.behind);

// Whether nothing is left to show of a turn: another one has its message, which is not known here.
const isTaken = ({ status, message }) => status === "merged" && message === null;

export class Chat {
  // Turns {id, epoch, message, agent, text, marks, status, record, answer, stopping, detail, cut, why, goesOn, way,
  // place, into, changing, calls, parent, children}, and {note, gap}. `marks` are how long the text was after each
  // event; `goesOn` is between two attempts; `place` is where it waits, `into` the turn that has its message, `changing`
  // until a change is answered, `calls` are those of tools that are open: {id, name}. `parent` {session, id} is the turn
  // that has sent its message, if one has, and `children` are those that it has sent for itself: {session, id, status}.
  items = [];
  // The places of the turns that wait, in order: {task_id, position, waits_for, not_before, standing}. How often
  // the server has said so, and whether to ask it: events do not have what is said there, nor all that was missed.
  queue = [];
  heard = 0;
  wantsQueue = false;
  // The turn whose message is being edited, and what is wrong with a change.
  editing = null;
  queueProblem = "";
  // How the server takes a message while a turn runs, whether a send may say so (null: not known, or the server is too
  // old to say), and what this user has chosen.
  rule = { way: "interrupt", isOpen: null };
  wantsRule = true;
  chosen = null;
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

  // What Stop is aimed at: the turn that holds the session, or the one that is to take its place.
  get current() {
    const waiting = this.waiting;
    return this.items.findLast((item) => isInFlight(item) && !waiting.includes(item));
  }

  // The turns that wait in line, in order; and what was sent to wait there, until the server says where.
  get waiting() {
    const placed = this.queue.filter(isInLine).map(({ task_id }) => this.#known(task_id));
    const sent = this.items.filter((item) => item.status === "sending" && WAYS[item.way]?.waits);
    return [...placed.filter((turn) => turn?.status === "queued"), ...sent];
  }

  // What the list of sessions says of it: "running", "waiting" or "".
  get activity() {
    const { status, place } = this.current ?? {};
    const isHeldUp = status === "queued" && place && !WAITS_FOR[place.waits_for]?.behind; // no turn is before it
    if (status && !isHeldUp) return "running";
    return isHeldUp || this.waiting.length ? "waiting" : "";
  }

  // Whether a message that is sent now finds a turn in its way.
  get isBusy() {
    return Boolean(this.current) || this.waiting.some(({ place }) => place?.position);
  }

  // What becomes of a message that is sent now.
  get way() {
    return this.chosen ?? this.rule.way;
  }

  get firstMessage() {
    return [...this.shown, ...this.waiting].find((item) => item.message)?.message;
  }

  // The conversation. Where events are missing, the kept messages stand for all turns up to there.
  get shown() {
    const waiting = this.waiting;
    const isShown = (item) => !waiting.includes(item) && !isTaken(item);
    const items = this.items.filter(isShown);
    if (!this.#isIncomplete()) return items;
    const [epoch] = this.history.upTo;
    const follows = (item) => (item.epoch ? item.epoch > epoch : !item.gap);
    return [...this.history.turns, ...items.filter(follows)];
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
  #turnFor(id, epoch, status = "running") {
    const unknown = { id, epoch, message: null, text: "", marks: [], status, cut: Boolean(epoch) };
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
    else if (name === "turn.places") this.#onPlaces(data.queue);
    else if (name === "turn.edited") this.#onEdited(this.#known(data.task_id), data.message);
    else if (name === "delta") this.#onDelta(this.#turnFor(null, epoch), data, id);
    else if (name === "upstream_error") this.#turnFor(null, epoch).why = typeof data?.message === "string" ? data.message : "";
    else if (name === "turn.tool_call" || name === "turn.tool_result") this.#onCall(name, this.#turnFor(data.task_id, epoch), data);
    else if (name === "turn.interrupted") this.#onInterrupted(this.#turnFor(data.task_id, epoch), data);
    else this.#onRecord(this.#turnFor(data.task_id, epoch), data);
  }

  #onDelta(turn, data, id) {
    turn.text += typeof data?.text === "string" ? data.text : "";
    turn.marks.push({ id: numbers(id), length: turn.text.length });
  }

  #onCall(name, turn, { id, name: tool }) {
    const others = (turn.calls ?? []).filter((call) => call.id !== id);
    turn.calls = name === "turn.tool_call" ? [...others, { id, name: tool }] : others;
  }

  #onStarted(turn, data, epoch) {
    this.items = [...this.items.filter((item) => item !== turn), turn]; // the newest, also if another client sent it
    const { task_id: id, agent } = data;
    const message = isElided(data.message) ? (turn.message ?? data.message) : data.message; // this page may have sent it
    const begun = turn.goesOn ? {} : { text: "", marks: [], cut: false };
    const family = familyOf(data, turn);
    Object.assign(turn, { id, epoch, message, agent, calls: [], ...begun, ...family, status: "running", goesOn: false });
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
    const calls = record.open_calls ?? [];
    const { task_id: id, agent, status } = record;
    Object.assign(turn, { id, agent, record, calls, status, ...familyOf(record, turn) });
    this.wantsQueue ||= turn.status === "queued" && turn.message === null;
    if (record.merged_into) this.#onMerged(turn, record.merged_into);
  }

  #onMerged(turn, into) {
    turn.into = this.#known(into);
    this.wantsQueue = true; // that one has more to say now
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
    this.#onPlaces(queue);
  }

  // -- Those that wait ------------------------------------------------------------------------------------

  #onPlaces(queue) {
    this.queue = queue;
    this.heard += 1;
    for (const place of queue) {
      const turn = this.#turnFor(place.task_id, null, "queued");
      turn.place = place;
      if (!STATUSES[turn.status]) turn.status = "queued"; // it was one of the page's own
      this.wantsQueue ||= turn.message === null;
    }
  }

  // One of those that wait says something else: of one that is not known yet the queue will say it.
  #onEdited(turn, message) {
    if (turn?.status === "queued") turn.message = message;
  }

  // What the server answers about those that wait; `heard` is as it was when it was asked, for events that came since
  // know better who they are. Returns the ids of turns that wait no longer, of which nothing is known but that.
  onQueue(queue, heard) {
    const wanted = this.wantsQueue;
    if (heard === this.heard) this.#onPlaces(queue);
    for (const { task_id: id, message } of queue) {
      const turn = this.#known(id);
      if (turn?.status === "queued") turn.message = isElided(message) ? (turn.message ?? message) : message;
    }
    this.wantsQueue = wanted;
    const waits = ({ id }) => [...queue, ...this.queue].some((each) => each.task_id === id);
    return this.items.filter((item) => item.status === "queued" && !waits(item)).map(({ id }) => id);
  }

  // What became of a turn that waits no longer; of one that has started its events say more.
  onMissed(id, { ok, status, data }) {
    const turn = this.#known(id);
    if (turn?.status !== "queued") return;
    if (ok && !STATUSES[data.status]?.inFlight && data.started_at === null) this.#onRecord(turn, data);
    else if (status === 404) turn.status = "lost";
  }

  waits(id) {
    return this.waiting.some((turn) => turn.id === id);
  }

  onRule({ policy: { strategy } }) {
    this.rule = { way: strategy.value, isOpen: strategy.member !== null };
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
    this.#onAccepted(turn, answer.data);
    const { task_id: id, verdict, settled_after_ms: ms } = answer.data.superseded ?? {};
    const old = this.#known(id);
    if (old) old.answer = { cause: "superseded", verdict, ms };
  }

  // Its events may come later, or have come.
  #onAccepted(turn, { position = null, waits_for, not_before = null, standing, merged_into: into }) {
    if (into) this.#onMerged(turn, into);
    if (turn.status !== "queued" || turn.place || !waits_for) return;
    turn.place = { task_id: turn.id, position, waits_for, not_before, standing };
    this.queue = [...this.queue, turn.place];
  }

  // What the server answers about a turn. That it has started, or has ended, its events say better.
  onTurnRead(turn, record) {
    const isNews = isInFlight(turn) !== isInFlight(record);
    if (isNews || record.status === "queued") return;
    const { calls } = turn;
    this.#onRecord(turn, record);
    if (calls) turn.calls = calls;
  }

  onStopAnswered(turn, answer, problem) {
    const { verdict, settled_after_ms: ms, turn: record, cleared } = answer.data;
    turn.stopping = false;
    if (verdict) turn.answer = { cause: "user_request", verdict, ms, cleared };
    else turn.detail = `${answer.status ? "Not stopped" : "The outcome of Stop is not known"}: ${problem}.`;
    if (record && isInFlight(turn)) this.#onRecord(turn, record);
  }

  // `turns` were to be stopped, and all that wait to be cleared.
  onStopAllAnswered(turns, answer, problem) {
    for (const turn of turns) turn.stopping = false;
    const stopped = this.#known(answer.data.turn?.task_id);
    if (stopped) this.onStopAnswered(stopped, answer, problem);
    else if (!answer.ok) this.queueProblem = `Not stopped: ${problem}.`;
  }
}
