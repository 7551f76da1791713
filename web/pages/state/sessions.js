// The sessions in the list: those that the server lists, and this browser's own, which are copies, for sessions that
// the server has forgotten and for a server that has no lists.

import { titleOf } from "./words.js";

// -- This browser's own, in its localStorage: the latest first, {id, title, at, served} ---------------------
// `at` is in milliseconds. Of one without `served` the title was given, or made, when servers kept no titles.

// One list for each mount of the page, if a server has several.
export const KEY = `turnkeeper.sessions:${location.pathname}`;

const MOST = 200;

export function loadSessions() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY)) ?? [];
    return found.filter(({ id, title }) => typeof id === "string" && typeof title === "string");
  } catch {
    return []; // not ours, or no storage at all
  }
}

function keep(sessions) {
  const kept = sessions.slice(0, MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // A full or forbidden storage: the list lasts as long as the page.
  }
  return kept;
}

// These return the new list. Another tab may have changed it: what is kept counts.

// Put a session on top, with this title if it has none.
export function noteSession(id, title, at) {
  const sessions = loadSessions();
  const known = sessions.find((each) => each.id === id);
  return keep([{ title, served: true, ...known, id, at }, ...sessions.filter((each) => each.id !== id)]);
}

export const renameSession = (id, title) =>
  keep(loadSessions().map((each) => (each.id === id ? { ...each, title } : each)));

export const forgetSession = (id) => keep(loadSessions().filter((each) => each.id !== id));

// Let the copies be as what the server lists.
export function copyListed({ sessions }) {
  const listed = new Map(sessions.map((each) => [each.id, each]));
  const copyOf = (each) => {
    const its = listed.get(each.id);
    const isToBeGiven = !each.served && its?.title !== each.title; // see titlesToGive
    return its && !isToBeGiven ? { id: each.id, title: its.title ?? each.title, at: its.at, served: true } : each;
  };
  return keep(loadSessions().map(copyOf));
}

// The titles that were given in this browser and that the server does not have.
export function titlesToGive({ sessions }) {
  const listed = new Map(sessions.map(({ id, title }) => [id, title]));
  return loadSessions().filter(({ id, title, served }) => !served && listed.has(id) && listed.get(id) !== title);
}

// -- The server's -------------------------------------------------------------------------------------------

// A session as the server lists it -> {id, title, at, user, isQueued}. It may have no title. `isQueued`: nothing runs in
// it, and something waits.
export const listedSession = ({ log_id: id, title, last_active_at: at, user, state }) =>
  ({ id, title, at: at * 1000, user, isQueued: state === "queued" });

// The list with this session changed into others.
export const listedWith = (list, id, edit) =>
  list && { ...list, sessions: list.sessions.flatMap((each) => (each.id === id ? edit(each) : [each])) };

// -- Both ---------------------------------------------------------------------------------------------------

const NONE = { sessions: [], before: null };

// What the list shows, the latest first. Of the copies those that the server would have listed by now: not ones that
// may stand on a later page of it. `missing`: the server had been asked since, and lacks it.
function merge(listed, found, own, find) {
  const { sessions, before, asOf } = (find ? found : listed) ?? NONE;
  const ids = new Set([...sessions, ...(listed ?? NONE).sessions].map(({ id }) => id));
  const oldest = before ? sessions.at(-1).at : -Infinity;
  const isFound = ({ title }) => title.toLowerCase().includes(find.toLowerCase());
  const lacking = own.filter((each) => !ids.has(each.id) && each.at > oldest && isFound(each));
  const others = lacking.map((each) => ({ ...each, missing: each.at < asOf }));
  return [...sessions, ...others].sort((one, other) => other.at - one.at);
}

let last = { key: [], merged: [] };

// The same list, until one of what it is made of is another.
export function shownSessions({ listed, found, own, find }) {
  const key = [listed, found, own, find];
  if (key.some((each, place) => each !== last.key[place])) last = { key, merged: merge(...key) };
  return last.merged;
}

// What is known of a session, also while the list shows others.
export function sessionOf({ listed, found, own }, id) {
  const all = [...(listed ?? NONE).sessions, ...(found ?? NONE).sessions, ...own];
  return all.find((each) => each.id === id);
}

export function titleOfSession(state, id) {
  const own = state.own.find((each) => each.id === id);
  const said = id === state.chat.session && state.chat.firstMessage;
  return sessionOf(state, id)?.title || own?.title || (said && titleOf(said)) || "";
}
