// The chat page: what users do, and what follows from it. Data flows one way:
// events and answers -> state (store.js, chat.js) -> render().

import { call, keepToken, path, problemOf, whenUnauthorized } from "./net/api.js";
import { watchRunning } from "./net/running.js";
import { Stream } from "./net/stream.js";
import { $, copyText, focusMessage } from "./render/dom.js";
import { narrow, renderFrame, renderTheme } from "./render/frame.js";
import { renderSessions, sessionAt } from "./render/session-list.js";
import { renderTurns, turnAt } from "./render/turn-list.js";
import { Chat } from "./state/chat.js";
import { turnsOf } from "./state/history.js";
import { KEY, forgetSession, loadSessions, noteSession, renameSession } from "./state/sessions.js";
import { change, state, whenChanged } from "./state/store.js";
import { titleOf } from "./state/words.js";

const MOST_KEPT = 8; // chats that can be reopened without reading all of them again

const kept = new Map(); // session -> Chat, the latest last

let stream = null;

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -- Sessions -------------------------------------------------------------------------------------------

function openSession() {
  if (location.hash.length < 2) history.replaceState(null, "", `#${randomId()}`);
  const session = location.hash.slice(1);
  const before = state.chat;
  if (before) before.draft = $("message").value;
  const chat = kept.get(session) ?? new Chat(session);
  kept.delete(session);
  kept.set(session, chat);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  change(() => {
    if (before?.current) state.running.add(before.session);
    state.unseen.delete(session);
    Object.assign(state, { chat, connection: "connecting", drawer: false, renaming: null });
  });
  $("message").value = chat.draft;
  $("scroller").scrollTop = 0;
  stream?.close();
  stream = new Stream(chat, onEvent, onConnection);
  stream.connect();
  focusMessage();
}

function onEvent(edit) {
  change(() => {
    edit();
    remember();
  });
  askForHistory();
}

// The server keeps messages longer than events. Without an answer the page shows what it has.
async function askForHistory() {
  const { chat, connection } = state;
  if (!chat.wantsHistory || connection !== "connected") return;
  chat.wantsHistory = false;
  const { ok, status, data } = await call("GET", path(chat.session, "messages"));
  change(() => {
    if (ok) chat.onHistory(turnsOf(data), data.cursor);
    else chat.onNoHistory(!status);
    remember();
  });
}

// A session is in this browser's list once a message is sent in it. The first message is its title.
function remember(at) {
  const { session, firstMessage } = state.chat;
  const isKnown = state.sessions.some(({ id }) => id === session);
  if (firstMessage && (at || !isKnown)) state.sessions = noteSession(session, titleOf(firstMessage), at ?? Date.now());
}

function onConnection(connection, note) {
  change(() => {
    state.connection = connection;
    if (note) state.chat.note(note);
  });
  if (connection !== "connected") return;
  askForRunning();
  askForHistory();
}

function onRunning(ids) {
  change(() => {
    const now = new Set(ids ?? []);
    const ended = [...state.running].filter((id) => ids && !now.has(id) && id !== state.chat.session);
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
  if (session === state.chat.session) newSession();
}

function newSession() {
  location.hash = randomId();
}

// -- Turns ----------------------------------------------------------------------------------------------

// The page chooses the turn's id: a message that did arrive is not taken twice when it is sent again, and Stop
// can name the turn before the server has answered.
// Without an agent's name the server chooses the agent.
function sendNew(message, agent) {
  const turn = { id: randomId(), epoch: null, message, agent, text: "" };
  state.chat.items.push(turn);
  $("scroller").scrollTop = 0; // the end: the column is reversed, so that it stays there by itself
  return send(turn);
}

async function send(turn) {
  const { chat } = state;
  change(() => {
    Object.assign(turn, { status: "sending", detail: "" });
    remember(Date.now());
  });
  const body = { message: turn.message, agent: turn.agent, task_id: turn.id };
  const answer = await call("POST", path(chat.session, "send"), body);
  change(() => chat.onSendAnswered(turn, answer, problemOf(answer)));
}

async function stop() {
  const { chat } = state;
  const turn = chat.current;
  if (!turn || turn.stopping) return;
  if (document.activeElement === $("stop")) $("message").focus(); // the button is about to be disabled
  change(() => Object.assign(turn, { stopping: true, detail: "" }));
  const { session } = chat;
  const answer = await call("POST", turn.id ? path(session, turn.id, "cancel") : path(session, "cancel_send_task"));
  change(() => chat.onStopAnswered(turn, answer, problemOf(answer)));
}

// -- State -> page --------------------------------------------------------------------------------------

function render() {
  renderTurns(state);
  renderSessions(state);
  renderFrame(state);
}

// -- What users do --------------------------------------------------------------------------------------

const on = (target, name, handle) => target.addEventListener(name, handle);

on($("composer"), "submit", (event) => {
  event.preventDefault();
  const message = $("message").value;
  if (!message.trim()) return;
  $("message").value = "";
  sendNew(message);
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
on($("turns"), "click", ({ target }) => {
  if (target.matches(".copy")) copyText(target, target.closest(".code").querySelector("code").textContent);
  else if (target.matches(".copy-reply")) copyText(target, turnAt(target).text);
  else if (target.matches(".again")) again(turnAt(target));
});

// A message that may have arrived is sent as the same turn; for one that has ended there is a new turn, by the same
// agent.
function again(turn) {
  if (turn.status === "unsent") send(turn);
  else sendNew(turn.message, turn.agent);
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
// A page that the browser keeps for its Back button would keep its connection too, of which there are only six.
on(window, "pagehide", () => stream.close());
on(window, "pageshow", ({ persisted }) => persisted && stream.connect());
renderTheme();
openSession();
const askForRunning = watchRunning(
  () => state.connection === "connected" && state.sessions.some(({ id }) => id !== state.chat.session),
  onRunning,
);
on(window, "hashchange", askForRunning);
