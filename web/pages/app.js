// The chat page. Data flows one way: events and answers -> state -> render().
// What a model said only ever becomes the text of an element.

const $ = (id) => document.getElementById(id);

const TOKEN_KEY = "turnkeeper.token";
const TURN_EVENTS = ["queued", "started", "completed", "failed", "cancelled", "timed_out", "interrupted", "unresponsive"];
const IN_FLIGHT = new Set(["sending", "queued", "running", "cancelling"]);
const CONNECTION = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  login: "Token needed",
  refused: "Not connected",
  closed: "Session closed",
};
const CAUSES = {
  user_request: "Stop",
  superseded: "Replaced by the next message",
  client_disconnected: "The client went away",
  timeout: "Out of time",
  shutdown: "The server shut down",
  admin: "Stopped by an admin",
  policy: "Stopped by a rule",
  session_closed: "The session was closed",
};

// -- State --------------------------------------------------------------------------------------------

let state;

// items: turns {id, epoch, message, text, status, record, answer, stopping, detail, cut}, and {note}.
function blank(session) {
  return { session, items: [], cursor: null, connection: "connecting", loginProblem: "" };
}

function change(edit) {
  edit();
  change.frame ??= requestAnimationFrame(render);
}

const currentTurn = () => state.items.findLast((item) => IN_FLIGHT.has(item.status));
const known = (id, epoch) => state.items.findLast((item) => (id && item.id === id) || (epoch && item.epoch === epoch));

// The turn an event is about. An event whose turn.started is no longer kept makes a turn that says so.
function turnFor(id, epoch) {
  const turn = known(id, epoch) ?? { id, epoch, message: null, text: "", status: "running", cut: Boolean(epoch) };
  if (!state.items.includes(turn)) state.items.push(turn);
  return turn;
}

// -- Events -> state ----------------------------------------------------------------------------------

const numbers = (id) => id.split("-").map(Number);

function isNew(id) {
  const [[epoch, n], [seenEpoch, seenN]] = [numbers(id), numbers(state.cursor ?? "0-0")];
  return epoch > seenEpoch || (epoch === seenEpoch && n > seenN);
}

// `id` is null for what does not move the cursor; such an event may come twice, and changes nothing then.
function onEvent(name, id, data) {
  if (id && !isNew(id)) return;
  if (id) state.cursor = id;
  const epoch = id && numbers(id)[0];
  if (name === "gap") onGap();
  else if (name === "snapshot") onSnapshot(data);
  else if (name === "turn.started") onStarted(turnFor(data.task_id, epoch), data, epoch);
  else if (name === "delta") turnFor(null, epoch).text += typeof data?.text === "string" ? data.text : "";
  else onRecord(turnFor(data.task_id, epoch), data);
}

function onStarted(turn, data, epoch) {
  state.items = [...state.items.filter((item) => item !== turn), turn]; // the newest, whoever sent it
  Object.assign(turn, { id: data.task_id, epoch, message: data.message, text: "", status: "running", cut: false });
}

function onRecord(turn, record) {
  Object.assign(turn, { id: record.task_id, record, status: record.status });
}

function onGap() {
  state.cursor = null;
  state.items.push({ note: "Something is missing here: the server no longer has what happened meanwhile." });
}

// After a gap, what the server says of its turns counts; a turn it does not speak of is gone.
function onSnapshot({ turn, queue }) {
  for (const ours of state.items.filter((item) => IN_FLIGHT.has(item.status) && item.status !== "sending")) {
    const record = [turn, ...queue].find((each) => each?.task_id === ours.id);
    if (record) onRecord(ours, record);
    else ours.status = "lost";
  }
}

// -- The server -----------------------------------------------------------------------------------------

// Addresses are relative, so that the page works under a prefix.
const path = (...tail) => ["chat", state.session, ...tail].map(encodeURIComponent).join("/");

// The answer as {status, data}; status 0 is no answer.
async function call(method, address, body) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { "Content-Type": "application/json" };
  // A header takes bytes, one a character.
  if (token) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}`;
  try {
    const response = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    if (response.status === 401) needToken(token);
    return { status: response.status, ok: response.ok, data: await response.json().catch(() => ({})) };
  } catch {
    return { status: 0, ok: false, data: { detail: "the server cannot be reached" } };
  }
}

const problemOf = ({ status, data }) => data.detail ?? `the server answered ${status}`;

function needToken(refused) {
  unlink();
  const loginProblem = refused ? "The server does not accept this token." : "";
  change(() => Object.assign(state, { connection: "login", loginProblem }));
}

// -- The stream -----------------------------------------------------------------------------------------

const link = { source: null, timer: null, tries: 0, attempt: 0 };

function unlink() {
  link.attempt += 1; // whatever an older attempt still waits for is not wanted any more
  clearTimeout(link.timer);
  link.source?.close();
  link.source = null;
}

// Every connection, the first as well as a later one, asks for a ticket: EventSource sends no token and
// shows no status code, this request does both. The cursor travels in the address.
async function connect() {
  unlink();
  const { attempt } = link;
  const answer = await call("POST", "chat/ticket", { log_ids: [state.session] });
  if (attempt !== link.attempt) return;
  if (answer.status === 422 || answer.status === 403) return refuse("refused", problemOf(answer));
  if (!answer.ok) return connectLater();
  const query = new URLSearchParams({ ticket: answer.data.ticket, last_event_id: state.cursor ?? "0" });
  listen(new EventSource(`${path("events")}?${query}`));
}

function listen(source) {
  let last = ""; // an event without an id carries the one before it
  const on = (name, handle) =>
    source.addEventListener(name, (event) => {
      if (source !== link.source) return;
      const id = event.lastEventId === last ? null : event.lastEventId;
      last = event.lastEventId;
      change(() => handle(id, event.data));
    });
  for (const name of ["delta", "gap", "snapshot", ...TURN_EVENTS.map((each) => `turn.${each}`)]) {
    on(name, (id, data) => onEvent(name, id, JSON.parse(data)));
  }
  on("close", (_id, text) => onClose(text));
  source.onopen = () => change(() => (state.connection = "connected"));
  source.onerror = () => source === link.source && onLost(source.readyState === EventSource.CLOSED);
  link.source = source;
}

// The server ends a stream after a Stop; what comes next is read on a new one.
function onClose(text) {
  if (text === "Session closed") refuse("closed", "This session is closed. Start a new one.");
  else if (text.startsWith("Task ")) connect();
  else connectLater();
}

async function onLost(answered) {
  connectLater();
  const { attempt } = link;
  if (!answered) return;
  const { status } = await call("GET", path());
  if (status === 404 && attempt === link.attempt) refuse("refused", "This session is not yours. Start a new one.");
}

function connectLater() {
  unlink();
  link.tries = state.connection === "connected" ? 0 : link.tries + 1;
  const wait = Math.min(8000, 250 * 2 ** link.tries) * (0.75 + Math.random() / 2);
  link.timer = setTimeout(connect, wait);
  change(() => (state.connection = "reconnecting"));
}

function refuse(connection, text) {
  unlink();
  change(() => {
    state.connection = connection;
    state.items.push({ note: text });
  });
}

// -- What people do -------------------------------------------------------------------------------------

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openSession() {
  if (location.hash.length < 2) history.replaceState(null, "", `#${randomId()}`);
  state = blank(location.hash.slice(1));
  $("conversation").replaceChildren();
  change(connect);
  $("message").focus();
}

// The page chooses the turn's id: sent again, a message that did arrive is not taken twice, and Stop can
// name the turn before the server has answered.
async function send(turn) {
  change(() => Object.assign(turn, { status: "sending", detail: "" }));
  const answer = await call("POST", path("send"), { message: turn.message, task_id: turn.id });
  change(() => onSendAnswered(turn, answer));
}

function onSendAnswered(turn, answer) {
  // Its events may have come before the answer.
  const status = answer.ok ? answer.data.task_status : "unsent";
  const detail = answer.status ? `Not sent: ${problemOf(answer)}.` : "No answer: the server may not have got this.";
  if (turn.status === "sending") Object.assign(turn, { status, detail: answer.ok ? "" : detail });
  const { task_id: id, verdict, settled_after_ms: ms } = answer.data.superseded ?? {};
  const old = known(id);
  if (old) old.answer = { cause: CAUSES.superseded, verdict, ms };
}

async function stop() {
  const turn = currentTurn();
  if (!turn || turn.stopping) return;
  change(() => Object.assign(turn, { stopping: true, detail: "" }));
  const answer = await call("POST", turn.id ? path(turn.id, "cancel") : path("cancel_send_task"));
  change(() => onStopAnswered(turn, answer));
}

function onStopAnswered(turn, answer) {
  const { verdict, settled_after_ms: ms, turn: record } = answer.data;
  turn.stopping = false;
  if (verdict) turn.answer = { cause: CAUSES.user_request, verdict, ms };
  else turn.detail = `No word of what Stop came to: ${problemOf(answer)}.`;
  if (record && IN_FLIGHT.has(turn.status)) onRecord(turn, record);
}

// -- State -> words -------------------------------------------------------------------------------------

function textOf(message) {
  if (!Array.isArray(message)) return typeof message === "string" ? message : "";
  return message.map((part) => part?.text ?? `[${part?.type}]`).join("\n");
}

const span = (ms) => (ms < 1 ? "less than 1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// What a cancel came to: from the answer if this page asked, else from the turn's record.
function verdictOf({ answer, record, status }) {
  if (answer || !record?.reason) return answer;
  const verdict = ["cancelled", "timed_out", "unresponsive"].includes(status) ? status : "finished_first";
  return { cause: CAUSES[record.reason.code], verdict, ms: (record.ended_at - record.cancel_requested_at) * 1000 };
}

function verdictText(turn) {
  const { cause, verdict, ms } = verdictOf(turn) ?? {};
  if (!cause) return "";
  const [never, late] = [turn.record?.started_at === null, turn.record?.cancel_requested_at];
  const words = {
    cancelled: never ? "cancelled before it began" : `cancelled after ${span(ms)}`,
    timed_out: `it ended ${span(ms)} later`,
    finished_first: late ? `not cancelled, it ended by itself ${span(ms)} later` : "it had already finished",
    unresponsive: `it did not stop within ${span(ms)} and was set aside`,
    requested: "asked for, with no outcome yet",
    not_running: "it was not running",
  };
  return `${cause}: ${words[verdict]}.`;
}

function progress(status) {
  if (status === "sending") return "Sending…";
  if (state.connection !== "connected") return "In flight when last heard of…";
  return { queued: "Waiting for the turn before it to end…", cancelling: "Stopping…" }[status] ?? "Running…";
}

// [kind, words]: how a turn stands, or why it ended. One that ended well and undisturbed needs no words.
function outcome(turn) {
  const { status, detail, record, stopping } = turn;
  const { code, type } = record?.error ?? {};
  if (IN_FLIGHT.has(status)) return detail ? ["bad", detail] : ["busy", stopping ? "Stopping…" : progress(status)];
  const because = verdictText(turn);
  const words = {
    unsent: detail,
    lost: "Cut off or forgotten: the server no longer knows this turn.",
    completed: because && `Completed. ${because}`,
    cancelled: because || "Cancelled.",
    failed: `Failed (${[code, type].filter(Boolean).join(", ")}). ${because}`,
    timed_out: `Timed out. ${because}`,
    interrupted: `Interrupted, the server went down. ${because}`,
    unresponsive: `Unresponsive. ${because}`,
  };
  return [status === "completed" || status === "cancelled" ? "calm" : "bad", words[status] ?? status];
}

// -- State -> page --------------------------------------------------------------------------------------

function render() {
  change.frame = null;
  state.items.forEach((item, place) => {
    item.element ??= elementOf(item);
    if (!item.note) renderTurn(item);
    const there = $("conversation").children[place];
    if (there !== item.element) $("conversation").insertBefore(item.element, there ?? null);
  });
  renderFrame();
}

function elementOf(item) {
  const element = $(item.note ? "note-template" : "turn-template").content.firstElementChild.cloneNode(true);
  if (item.note) element.textContent = item.note;
  else element.querySelector(".again").addEventListener("click", () => send(item));
  return element;
}

function renderTurn(turn) {
  const part = (name) => turn.element.querySelector(name);
  const [kind, words] = outcome(turn);
  turn.element.dataset.status = turn.status;
  turn.element.setAttribute("aria-busy", String(IN_FLIGHT.has(turn.status))); // read out once it is whole
  setText(part(".message"), textOf(turn.message));
  part(".cut").hidden = !turn.cut;
  setText(part(".reply"), turn.text);
  setText(part(".outcome"), words);
  part(".outcome").dataset.kind = kind;
  part(".again").hidden = turn.status !== "unsent";
}

function renderFrame() {
  const turn = currentTurn();
  const login = state.connection === "login";
  setText($("session"), state.session);
  setText($("connection"), CONNECTION[state.connection]);
  $("connection").dataset.state = state.connection;
  $("empty").hidden = state.items.length > 0 || state.connection !== "connected";
  $("stop").disabled = !turn || Boolean(turn.stopping);
  setText($("hint"), turn ? $("hint").dataset.running : $("hint").dataset.idle);
  setText($("login-problem"), state.loginProblem);
  if ($("login").hidden !== login) return;
  $("login").hidden = !login;
  $("composer").hidden = login;
  $(login ? "token" : "message").focus();
}

// Only what is new is added: a selection stays, and a screen reader does not begin again.
function setText(element, text) {
  const shown = element.textContent;
  element.hidden = !text;
  if (shown && text.startsWith(shown)) element.firstChild.appendData(text.slice(shown.length));
  else if (shown !== text) element.textContent = text;
}

// -- Start ----------------------------------------------------------------------------------------------

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = $("message").value;
  if (!message.trim()) return;
  $("message").value = "";
  const turn = { id: randomId(), epoch: null, message, text: "", status: "sending" };
  state.items.push(turn);
  send(turn);
  $("scroller").scrollTop = 0; // the end: the column is reversed, so that it stays there by itself
});
$("message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, $("token").value.trim());
  $("token").value = "";
  change(() => (state.connection = "connecting"));
  connect();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && stop());
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", () => (location.hash = randomId()));
window.addEventListener("hashchange", openSession);
window.addEventListener("online", () => state.connection === "reconnecting" && connect());
// A page that the browser keeps for the Back button would keep its connection too, and there are only six.
window.addEventListener("pagehide", unlink);
window.addEventListener("pageshow", (event) => event.persisted && connect());
openSession();
