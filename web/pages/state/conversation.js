// What was said in one session, from its events and from the answers to what was asked. Pure.

export const TURN_EVENTS = "queued started completed failed cancelled timed_out interrupted unresponsive".split(" ");

const IN_FLIGHT = new Set(["sending", "queued", "running", "cancelling"]);

export const isInFlight = (turn) => IN_FLIGHT.has(turn.status);

const numbers = (id) => id.split("-").map(Number);

const isBefore = ([epoch, n], [otherEpoch, otherN]) => epoch < otherEpoch || (epoch === otherEpoch && n < otherN);

export class Conversation {
  // Turns {id, epoch, message, text, status, record, answer, stopping, detail, cut, why}, and {note, gap}.
  items = [];
  cursor = null;
  draft = "";
  // What the server kept of what was said up to the event `upTo`, as {turns, upTo}; and if it is to be asked.
  past = null;
  wantsPast = true;

  constructor(session) {
    this.session = session;
  }

  get current() {
    return this.items.findLast(isInFlight);
  }

  get firstMessage() {
    return this.shown.find((item) => item.message)?.message;
  }

  // Where events are missing, what was kept stands for all turns up to there.
  get shown() {
    if (!this.#isIncomplete()) return this.items;
    const [epoch] = this.past.upTo;
    const follows = (item) => (item.epoch ? item.epoch > epoch : !item.gap);
    return [...this.past.turns, ...this.items.filter(follows)];
  }

  #isIncomplete() {
    const { turns, upTo } = this.past ?? {};
    if (!turns?.length) return false;
    if (this.cursor && isBefore(numbers(this.cursor), upTo)) return false; // the replay is still on its way
    const known = this.items.filter((item) => item.epoch && item.epoch <= upTo[0]);
    const said = turns.filter(({ message }) => message).length;
    return !known.length || known.some(({ cut }) => cut) || said > known.length;
  }

  #known(id, epoch) {
    return this.items.findLast((item) => (id && item.id === id) || (epoch && item.epoch === epoch));
  }

  // The turn an event is about. An event whose turn.started is no longer kept makes a turn that says so.
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

  // `id` is null for what does not move the cursor; such an event may come twice, and changes nothing then.
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
    this.items = [...this.items.filter((item) => item !== turn), turn]; // the newest, whoever sent it
    Object.assign(turn, { id: data.task_id, epoch, message: data.message, text: "", status: "running", cut: false });
  }

  #onRecord(turn, record) {
    Object.assign(turn, { id: record.task_id, record, status: record.status });
  }

  #onGap() {
    this.cursor = null;
    this.wantsPast = true;
    this.note("Something is missing here: the server no longer has what happened meanwhile.", true);
  }

  // After a gap, what the server says of its turns counts; a turn it does not speak of is gone.
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

  onPast(turns, cursor) {
    this.past = { turns, upTo: numbers(cursor ?? "0-0") };
  }

  onNoPast(isAskedAgain) {
    this.past ??= { turns: [], upTo: [0, 0] };
    this.wantsPast ||= isAskedAgain; // when it is connected again
  }

  // -- Answers --------------------------------------------------------------------------------------------

  onSendAnswered(turn, answer, problem) {
    // Its events may have come before the answer.
    const status = answer.ok ? answer.data.task_status : "unsent";
    const detail = answer.status ? `Not sent: ${problem}.` : "No answer: the server may not have got this.";
    if (turn.status === "sending") Object.assign(turn, { status, detail: answer.ok ? "" : detail });
    const { task_id: id, verdict, settled_after_ms: ms } = answer.data.superseded ?? {};
    const old = this.#known(id);
    if (old) old.answer = { cause: "superseded", verdict, ms };
  }

  onStopAnswered(turn, answer, problem) {
    const { verdict, settled_after_ms: ms, turn: record } = answer.data;
    turn.stopping = false;
    if (verdict) turn.answer = { cause: "user_request", verdict, ms };
    else turn.detail = `No word of what Stop came to: ${problem}.`;
    if (record && isInFlight(turn)) this.#onRecord(turn, record);
  }
}
