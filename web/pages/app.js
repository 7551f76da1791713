// The chat page: what users do, and what follows from it. Data flows one way:
// events and answers -> state (store.js, chat.js) -> render().

import { askForRunning, onConnected, refreshList, remember, stopRenaming } from "./list.js";
import { lookAt, lookAtEnded } from "./look.js";
import { addressed, newSession, randomId } from "./net/address.js";
import { call, keepToken, path, problemOf, whenUnauthorized } from "./net/api.js";
import { Stream } from "./net/stream.js";
import { askForQueue, keepWhatIsEdited } from "./queue.js";
import { $, announce, copyText, focusMessage, on } from "./render/dom.js";
import { narrow, renderFrame, renderTheme } from "./render/frame.js";
import { renderQueue } from "./render/queue-list.js";
import { renderSessions } from "./render/session-list.js";
import { renderTurns, turnAt } from "./render/turn-list.js";
import { Chat } from "./state/chat.js";
import { turnsBefore, turnsOf } from "./state/history.js";
import { change, state, whenChanged } from "./state/store.js";
import { WAYS } from "./state/vocabulary.js";
import { clearedText, waitOf } from "./state/words.js";

const MOST_KEPT = 8; // chats that can be reopened without reading all of them again
const HELD_AFTER = 400; // ms: when a Stop that has no answer yet is looked at
const MESSAGES = 100; // how many are read at once
const BEHIND = "enqueue"; // how Ctrl+Enter sends
const NEAR = 200; // pixels: how near the beginning of what is shown earlier messages are asked for

let stream = null;

// -- Sessions -------------------------------------------------------------------------------------------

function openSession() {
  const session = addressed();
  const { kept, chat: before } = state;
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
    const { chat } = state;
    const before = chat.current?.id;
    edit();
    if (chat.current?.id !== before) refreshList();
    if (!chat.isBusy) chat.chosen = null;
    keepWhatIsEdited();
    remember();
  });
  askForHistory();
  askForRule();
  lookAtEnded();
  if (state.chat.wantsQueue) askForQueue();
}

// What becomes of a message while a turn runs is the host's to say. An older server does not say it.
async function askForRule() {
  const { chat } = state;
  if (!chat.wantsRule || !chat.current) return;
  chat.wantsRule = false;
  const { ok, status, data } = await call("GET", path(chat.session, "policy"));
  if (ok) change(() => chat.onRule(data));
  else chat.wantsRule = !status;
}

// The server keeps messages longer than events. Without an answer the page shows what it has.
async function askForHistory() {
  const { chat, connection } = state;
  if (!chat.wantsHistory || connection !== "connected") return;
  chat.wantsHistory = false;
  const { ok, status, data } = await call("GET", `${path(chat.session, "messages")}?limit=${MESSAGES}`);
  change(() => {
    if (ok) chat.onHistory(turnsOf(data), data);
    else chat.onNoHistory(!status);
    remember();
  });
}

async function askForEarlier() {
  const { chat } = state;
  const { omitted, history } = chat;
  if (!omitted || chat.earlier === "asking") return;
  change(() => (chat.earlier = "asking"));
  const address = `${path(chat.session, "messages")}?before=${omitted}&limit=${MESSAGES}`;
  const { ok, data } = await call("GET", address);
  change(() => {
    if (ok && chat.history === history) chat.onEarlier(turnsBefore(data, history.turns), data);
    else chat.earlier = ok ? "" : "failed";
  });
}

function onConnection(connection, note) {
  change(() => {
    state.connection = connection;
    if (note) state.chat.note(note);
  });
  onConnected(connection, state.chat.session);
  if (connection !== "connected") return;
  askForHistory();
  askForQueue(); // the stream does not repeat all that was said of those that wait
}

// -- Turns ----------------------------------------------------------------------------------------------

// The page chooses the turn's id: a message that did arrive is not taken twice when it is sent again, and Stop
// can name the turn before the server has answered.
// Without an agent's name the server chooses the agent. The way counts only where a turn is in its way.
function sendNew(message, { agent, way = state.chat.way } = {}) {
  const { chat } = state;
  const turn = { id: randomId(), epoch: null, message, agent, text: "", marks: [], way: chat.isBusy ? way : null };
  chat.items.push(turn);
  $("scroller").scrollTop = 0; // the end: the column is reversed, so that it stays there by itself
  return send(turn);
}

async function send(turn) {
  const { chat } = state;
  change(() => {
    Object.assign(turn, { status: "sending", detail: "" });
    remember(Date.now());
  });
  const strategy = turn.way && turn.way !== chat.rule.way ? turn.way : undefined;
  const body = { message: turn.message, agent: turn.agent, task_id: turn.id, multitask_strategy: strategy };
  const answer = await call("POST", path(chat.session, "send"), body);
  change(() => chat.onSendAnswered(turn, answer, problemOf(answer)));
  if (chat.waits(turn.id)) announce(waitOf(turn.place));
  if (chat.wantsQueue && chat === state.chat) askForQueue();
}

// Those that wait go on.
async function stop() {
  const { chat } = state;
  const turn = chat.current;
  if (!turn || turn.stopping) return;
  if (document.activeElement === $("stop")) $("message").focus(); // the button is about to be disabled
  change(() => Object.assign(turn, { stopping: true, detail: "" }));
  const { session } = chat;
  const address = turn.id ? path(session, turn.id, "cancel") : `${path(session, "cancel_send_task")}?queue=keep`;
  // What it waits for is known before the answer comes: a step that must not be interrupted, or what it has begun.
  const look = turn.id && setTimeout(() => lookAt(chat, turn), HELD_AFTER);
  const answer = await call("POST", address);
  clearTimeout(look);
  change(() => chat.onStopAnswered(turn, answer, problemOf(answer)));
}

async function stopAll() {
  const { chat } = state;
  const turns = [chat.current, ...chat.waiting].filter(Boolean);
  change(() => {
    chat.queueProblem = "";
    for (const turn of turns) Object.assign(turn, { stopping: true, detail: "" });
  });
  const answer = await call("POST", `${path(chat.session, "cancel_send_task")}?queue=clear`);
  change(() => chat.onStopAllAnswered(turns, answer, problemOf(answer)));
  if (answer.data.cleared?.length) announce(clearedText(answer.data.cleared.length));
}

// -- State -> page --------------------------------------------------------------------------------------

function render() {
  renderTurns(state);
  renderQueue(state);
  renderSessions(state);
  renderFrame(state);
}

// -- What users do --------------------------------------------------------------------------------------

on($("composer"), "submit", (event) => {
  event.preventDefault();
  sendTyped();
});
on($("message"), "keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendTyped(event.ctrlKey || event.metaKey ? BEHIND : undefined);
});
on($("way"), "change", ({ target }) => change(() => (state.chat.chosen = target.value)));
on($("stop-all"), "click", stopAll);

// By the way that is chosen, or by this one unless the host rules it out.
function sendTyped(way) {
  const message = $("message").value;
  if (!message.trim()) return;
  $("message").value = "";
  change(() => (state.chat.queueProblem = ""));
  sendNew(message, { way: state.chat.rule.isOpen === false ? undefined : way });
}

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
  else sendNew(turn.message, { agent: turn.agent, way: WAYS[turn.way]?.waits ? turn.way : undefined });
  focusMessage(); // the button is gone
}

for (const button of document.querySelectorAll(".new")) {
  on(button, "click", () => {
    change(() => (state.drawer = false));
    newSession();
  });
}
on($("open-drawer"), "click", () => {
  change(() => (state.drawer = true));
  refreshList();
});
for (const id of ["close-drawer", "shade"]) on($(id), "click", () => change(() => (state.drawer = false)));
on(narrow, "change", () => change(() => (state.drawer = false)));

on(document, "keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || $("delete-dialog").open) return;
  if (state.renaming) stopRenaming();
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
on($("scroller"), "scroll", () => {
  const { scrollTop, scrollHeight, clientHeight } = $("scroller"); // the column is reversed: 0 is the end
  $("latest").hidden = scrollTop > -200;
  if (state.chat.earlier === "" && scrollHeight - clientHeight + scrollTop < NEAR) askForEarlier();
});
on($("earlier"), "click", askForEarlier);
on($("latest"), "click", () => $("scroller").scrollTo({ top: 0 }));

// -- Start ----------------------------------------------------------------------------------------------

whenChanged(render);
whenUnauthorized((refused) => {
  stream.close();
  const loginProblem = refused ? "The server does not accept this token." : "";
  change(() => Object.assign(state, { connection: "login", loginProblem }));
});
on(window, "hashchange", openSession);
on(window, "online", () => state.connection === "reconnecting" && stream.connect());
// A page that the browser keeps for its Back button would keep its connection too, of which there are only six.
on(window, "pagehide", () => stream.close());
on(window, "pageshow", ({ persisted }) => persisted && stream.connect());
renderTheme();
openSession();
on(window, "hashchange", askForRunning);
