// The list of chats: what users do with it, and what follows from what the server says of their sessions.

import { look } from "./look.js";
import { newSession } from "./net/address.js";
import { call, path, problemOf } from "./net/api.js";
import { watchList } from "./net/list.js";
import { watchRunning } from "./net/running.js";
import { $, on } from "./render/dom.js";
import { sessionAt } from "./render/session-list.js";
import {
  KEY,
  copyListed,
  forgetSession,
  listedWith,
  loadSessions,
  noteSession,
  renameSession,
  sessionOf,
  titleOfSession,
  titlesToGive,
} from "./state/sessions.js";
import { change, state } from "./state/store.js";
import { titleOf } from "./state/words.js";

const PAGE = 40; // how many more chats are shown at once

// A status of an answer that says that the server does not have the session, or has no titles at all.
const isLacking = (status) => status === 404 || status === 405;

// -- What there is --------------------------------------------------------------------------------------

function onListed(answer) {
  if (state.renaming || (answer.find && answer.find !== state.find)) return; // it is asked again afterwards
  change(() => {
    if (answer.older) return Object.assign(state, { listed: null, found: null });
    Object.assign(state, answer.find ? { found: answer } : { listed: answer });
    state.own = copyListed(answer);
  });
  if (!answer.older) giveTitles(titlesToGive(answer));
}

// Titles that were given while each browser kept its own: from now on the server has them.
async function giveTitles(titles) {
  for (const { id, title } of titles) {
    const { ok, data } = await call("PATCH", path(id), { title });
    if (!ok) return;
    change(() => (state.own = renameSession(id, data.title))); // it may have been tidied up
  }
  if (titles.length) refreshList();
}

// A session is in this browser's own list once a message is sent in it. The first message is its title.
export function remember(at) {
  const { session, firstMessage } = state.chat;
  if (!firstMessage || state.connection === "closed" || (!at && sessionOf(state, session))) return;
  state.own = noteSession(session, titleOf(firstMessage), at ?? Date.now());
}

function forget(session) {
  state.kept.delete(session);
  const without = (list) => listedWith(list, session, () => []);
  const { listed, found } = state;
  change(() => Object.assign(state, { own: forgetSession(session), listed: without(listed), found: without(found) }));
}

function onRunning(active) {
  const now = new Set(Object.keys(active ?? {}));
  const ended = [...state.running].filter((id) => active && !now.has(id));
  const begun = [...now].filter((id) => !state.running.has(id));
  change(() => {
    for (const id of ended) if (id !== state.chat.session) state.unseen.add(id);
    for (const id of now) state.unseen.delete(id);
    state.running = now;
  });
  if (ended.length || begun.length) refreshList();
  if (active) look();
}

// -- What users do --------------------------------------------------------------------------------------

async function rename(session, typed) {
  if (state.renaming !== session) return; // it was Escape that left the field
  const title = typed.trim();
  stopRenaming();
  if (!title || title === titleOfSession(state, session)) return;
  const answer = await call("PATCH", path(session), { title });
  if (answer.ok) onRenamed(session, answer.data.title);
  else if (isLacking(answer.status)) change(() => (state.own = renameSession(session, title)));
  else change(() => (state.listProblem = `Not renamed: ${problemOf(answer)}.`));
}

function onRenamed(session, title) {
  const named = (list) => listedWith(list, session, (each) => [{ ...each, title }]);
  const { listed, found } = state;
  change(() => {
    Object.assign(state, { own: renameSession(session, title), listed: named(listed), found: named(found) });
  });
}

// While a title is typed in, the list stays as it is.
export function stopRenaming() {
  change(() => Object.assign(state, { renaming: null, listProblem: "" }));
  refreshList();
}

async function deleteSession() {
  const session = state.deleting;
  change(() => (state.deleteProblem = ""));
  const answer = await call("DELETE", path(session));
  if (!answer.ok && answer.status !== 404) {
    return change(() => (state.deleteProblem = `Not deleted: ${problemOf(answer)}.`));
  }
  change(() => (state.deleting = null));
  forget(session);
  if (session === state.chat.session) newSession();
}

function find(text) {
  $("find").value = text;
  change(() => Object.assign(state, { find: text.trim(), found: text ? state.found : null, wanted: PAGE }));
  refreshList();
}

on($("sessions"), "click", ({ target }) => {
  const button = target.closest("button");
  if (button?.matches(".rename")) change(() => (state.renaming = sessionAt(button)));
  else if (button) change(() => Object.assign(state, { deleting: sessionAt(button), deleteProblem: "" }));
  else if (target.closest("a[aria-current]")) change(() => (state.drawer = false));
});
on($("sessions"), "submit", (event) => {
  event.preventDefault();
  rename(sessionAt(event.target), event.target.querySelector("input").value);
});
on($("sessions"), "focusout", ({ target }) => {
  if (target.matches("input")) rename(sessionAt(target), target.value);
});
on($("find"), "input", ({ target }) => find(target.value));
on($("find"), "keydown", (event) => {
  if (event.key !== "Escape" || !event.target.value) return;
  event.preventDefault();
  event.stopPropagation(); // it stops no turn
  find("");
});
on($("more"), "click", () => {
  change(() => (state.wanted += PAGE));
  refreshList();
});
on($("delete-dialog"), "close", () => change(() => (state.deleting = null)));
on($("delete-keep"), "click", () => $("delete-dialog").close());
on($("delete-yes"), "click", deleteSession);

// -- Start ----------------------------------------------------------------------------------------------

export const refreshList = watchList(
  () => state.connection === "connected" && !state.renaming && { find: state.find, count: state.wanted },
  onListed,
);
export const askForRunning = watchRunning(() => state.connection === "connected", onRunning);

export function onConnected(connection, session) {
  if (connection === "closed") forget(session); // it was deleted, perhaps in another browser
  if (connection !== "connected") return;
  refreshList();
  askForRunning();
}

change(() => Object.assign(state, { own: loadSessions(), wanted: PAGE }));
on(window, "storage", ({ key }) => key === KEY && change(() => (state.own = loadSessions())));
on(window, "focus", refreshList);
on(document, "visibilitychange", () => document.hidden || refreshList());
