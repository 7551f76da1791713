// The chat page: what people do, and what follows from it. Data flows one way,
// events and answers -> state (store.js, conversation.js) -> render().

import { call, keepToken, path, problemOf, whenUnauthorized } from "./net/api.js";
import { Conversation } from "./state/conversation.js";
import { $, copyText, focusMessage, setText } from "./render/dom.js";
import { turnsOf } from "./state/history.js";
import { watchRunning } from "./net/running.js";
import { UNTITLED, renderSessions, sessionAt, titleOfSession } from "./render/session-list.js";
import { KEY, forgetSession, loadSessions, noteSession, renameSession } from "./state/sessions.js";
import { change, state, whenChanged } from "./state/store.js";
import { Stream } from "./net/stream.js";
import { renderTurns, turnAt } from "./render/turn-list.js";
import { CONNECTION, titleOf } from "./state/words.js";

const MOST_KEPT = 8; // conversations that can be gone back to without asking for all of them again

const kept = new Map(); // session -> Conversation, the latest last
const narrow = matchMedia("(max-width: 48rem)");

let stream = null;

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -- Sessions -------------------------------------------------------------------------------------------

function openSession() {
  if (location.hash.length < 2) history.replaceState(null, "", `#${randomId()}`);
  const session = location.hash.slice(1);
  const before = state.conversation;
  if (before) before.draft = $("message").value;
  const conversation = kept.get(session) ?? new Conversation(session);
  kept.delete(session);
  kept.set(session, conversation);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  change(() => {
    if (before?.current) state.running.add(before.session);
    state.unseen.delete(session);
    Object.assign(state, { conversation, connection: "connecting", drawer: false, renaming: null });
  });
  $("message").value = conversation.draft;
  $("scroller").scrollTop = 0;
  stream?.close();
  stream = new Stream(conversation, onEvent, onConnection);
  stream.connect();
  focusMessage();
}

function onEvent(edit) {
  change(() => {
    edit();
    remember();
  });
  askPast();
}

// Events are kept for a while, what was said for longer. Without an answer the page shows what it has.
async function askPast() {
  const { conversation, connection } = state;
  if (!conversation.wantsPast || connection !== "connected") return;
  conversation.wantsPast = false;
  const { ok, status, data } = await call("GET", path(conversation.session, "messages"));
  change(() => {
    if (ok) conversation.onPast(turnsOf(data), data.cursor);
    else conversation.onNoPast(!status);
    remember();
  });
}

// A session is this browser's own once something is said in it. Its first message names it.
function remember(at) {
  const { session, firstMessage } = state.conversation;
  const isKnown = state.sessions.some(({ id }) => id === session);
  if (firstMessage && (at || !isKnown)) state.sessions = noteSession(session, titleOf(firstMessage), at ?? Date.now());
}

function onConnection(connection, note) {
  change(() => {
    state.connection = connection;
    if (note) state.conversation.note(note);
  });
  if (connection !== "connected") return;
  askRunning();
  askPast();
}

function onRunning(ids) {
  change(() => {
    const now = new Set(ids ?? []);
    const ended = [...state.running].filter((id) => ids && !now.has(id) && id !== state.conversation.session);
    for (const id of ended) state.unseen.add(id);
    for (const id of now) state.unseen.delete(id);
    state.running = now;
  });
}

function askToDelete(session) {
  change(() => Object.assign(state, { deleting: session, deleteProblem: "" }));
}

async function deleteSession() {
  const session = state.deleting;
  change(() => (state.deleteProblem = ""));
  const answer = await call("DELETE", path(session));
  if (!answer.ok && answer.status !== 404) {
    return change(() => (state.deleteProblem = `Not deleted: ${problemOf(answer)}.`));
  }
  kept.delete(session);
  change(() => Object.assign(state, { sessions: forgetSession(session), deleting: null }));
  if (session === state.conversation.session) newSession();
}

function newSession() {
  location.hash = randomId();
}

// -- Turns ----------------------------------------------------------------------------------------------

// The page chooses the turn's id: sent again, a message that did arrive is not taken twice, and Stop can
// name the turn before the server has answered.
function say(message) {
  const turn = { id: randomId(), epoch: null, message, text: "" };
  state.conversation.items.push(turn);
  $("scroller").scrollTop = 0; // the end: the column is reversed, so that it stays there by itself
  return send(turn);
}

async function send(turn) {
  const { conversation } = state;
  change(() => {
    Object.assign(turn, { status: "sending", detail: "" });
    remember(Date.now());
  });
  const body = { message: turn.message, task_id: turn.id };
  const answer = await call("POST", path(conversation.session, "send"), body);
  change(() => conversation.onSendAnswered(turn, answer, problemOf(answer)));
}

async function stop() {
  const { conversation } = state;
  const turn = conversation.current;
  if (!turn || turn.stopping) return;
  if (document.activeElement === $("stop")) $("message").focus(); // the button is about to be of no use
  change(() => Object.assign(turn, { stopping: true, detail: "" }));
  const { session } = conversation;
  const answer = await call("POST", turn.id ? path(session, turn.id, "cancel") : path(session, "cancel_send_task"));
  change(() => conversation.onStopAnswered(turn, answer, problemOf(answer)));
}

// -- State -> page --------------------------------------------------------------------------------------

function render() {
  renderTurns(state);
  renderSessions(state);
  renderFrame();
}

function renderFrame() {
  const { conversation, connection } = state;
  const turn = conversation.current;
  const title = titleOfSession(state, conversation.session);
  const isKnown = state.sessions.some(({ id }) => id === conversation.session);
  document.title = title === UNTITLED ? "turnkeeper" : `${title} · turnkeeper`;
  setText($("title"), title);
  setText($("connection"), CONNECTION[connection]);
  $("connection").dataset.state = connection;
  const isEmpty = conversation.past && !conversation.shown.length && connection === "connected";
  $("empty").hidden = !isEmpty || isKnown;
  $("forgotten").hidden = !isEmpty || !isKnown;
  $("stop").disabled = !turn || Boolean(turn.stopping);
  setText($("hint"), turn ? $("hint").dataset.running : $("hint").dataset.idle);
  renderDrawer();
  renderLogin();
}

function renderDrawer() {
  const open = state.drawer && narrow.matches;
  $("room").inert = open;
  $("open-drawer").setAttribute("aria-expanded", String(open));
  if ($("sidebar").classList.contains("open") === open) return;
  $("sidebar").classList.toggle("open", open);
  $("shade").hidden = !open;
  if (open) $("new").focus();
  else if (narrow.matches) $("open-drawer").focus();
}

function renderLogin() {
  const login = state.connection === "login";
  setText($("login-problem"), state.loginProblem);
  if ($("login").hidden !== login) return;
  $("login").hidden = !login;
  $("composer").hidden = login;
  $(login ? "token" : "message").focus();
}

function renderTheme() {
  const name = { system: "as the system", light: "light", dark: "dark" }[theme.current()];
  $("theme").setAttribute("aria-label", `Colours: ${name}`);
  $("theme").title = `Colours: ${name}`;
}

// -- What people do -------------------------------------------------------------------------------------

const on = (target, name, handle) => target.addEventListener(name, handle);

on($("composer"), "submit", (event) => {
  event.preventDefault();
  const message = $("message").value;
  if (!message.trim()) return;
  $("message").value = "";
  say(message);
});
on($("message"), "keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
on($("login"), "submit", (event) => {
  event.preventDefault();
  keepToken($("token").value.trim());
  $("token").value = "";
  change(() => (state.connection = "connecting"));
  stream.connect();
});
on($("conversation"), "click", ({ target }) => {
  if (target.matches(".copy")) copyText(target, target.closest(".code").querySelector("code").textContent);
  else if (target.matches(".copy-reply")) copyText(target, turnAt(target).text);
  else if (target.matches(".again")) again(turnAt(target));
});

// What may have arrived is sent as what it was; what has ended is said anew.
function again(turn) {
  if (turn.status === "unsent") send(turn);
  else say(turn.message);
  focusMessage(); // the button is gone
}

on($("sessions"), "click", ({ target }) => {
  const button = target.closest("button");
  if (button?.matches(".rename")) change(() => (state.renaming = sessionAt(button)));
  else if (button?.matches(".delete")) askToDelete(sessionAt(button));
  else if (target.closest("a[aria-current]")) change(() => (state.drawer = false));
});
on($("sessions"), "submit", (event) => {
  event.preventDefault();
  rename(sessionAt(event.target), event.target.querySelector("input").value);
});
on($("sessions"), "focusout", ({ target }) => {
  if (target.matches("input") && state.renaming) rename(sessionAt(target), target.value);
});

function rename(session, title) {
  const name = title.trim().slice(0, 200);
  change(() => {
    if (name && state.renaming === session) state.sessions = renameSession(session, name);
    state.renaming = null;
  });
}

on($("delete-dialog"), "close", () => change(() => (state.deleting = null)));
on($("delete-keep"), "click", () => $("delete-dialog").close());
on($("delete-yes"), "click", deleteSession);

for (const button of document.querySelectorAll(".new")) {
  on(button, "click", () => {
    change(() => (state.drawer = false));
    newSession();
  });
}
on($("open-drawer"), "click", () => change(() => (state.drawer = true)));
for (const id of ["close-drawer", "shade"]) on($(id), "click", () => change(() => (state.drawer = false)));
on(narrow, "change", () => change(() => (state.drawer = false)));

on(document, "keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || $("delete-dialog").open) return;
  if (state.renaming) change(() => (state.renaming = null));
  else if (state.drawer) change(() => (state.drawer = false));
  else stop();
});
on($("stop"), "click", stop);
on($("theme"), "click", () => {
  theme.next();
  renderTheme();
});
on($("skip"), "click", (event) => {
  event.preventDefault(); // the address names the session
  $("message").focus();
});
on($("scroller"), "scroll", () => ($("latest").hidden = $("scroller").scrollTop > -200));
on($("latest"), "click", () => $("scroller").scrollTo({ top: 0 }));

// -- Start ----------------------------------------------------------------------------------------------

whenChanged(render);
whenUnauthorized((refused) => {
  stream.close();
  const loginProblem = refused ? "The server does not accept this token." : "";
  change(() => Object.assign(state, { connection: "login", loginProblem }));
});
change(() => (state.sessions = loadSessions()));
on(window, "storage", ({ key }) => key === KEY && change(() => (state.sessions = loadSessions())));
on(window, "hashchange", openSession);
on(window, "online", () => state.connection === "reconnecting" && stream.connect());
// A page that the browser keeps for the Back button would keep its connection too, and there are only six.
on(window, "pagehide", () => stream.close());
on(window, "pageshow", ({ persisted }) => persisted && stream.connect());
renderTheme();
openSession();
const askRunning = watchRunning(
  () => state.connection === "connected" && state.sessions.some(({ id }) => id !== state.conversation.session),
  onRunning,
);
on(window, "hashchange", askRunning);
