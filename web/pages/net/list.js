// The server's list of sessions, asked for when something may have changed.

import { call } from "./api.js";
import { listedSession } from "../state/sessions.js";

const LONGEST = 200; // how many the server lists in one answer
const SOON = 150; // milliseconds: what changes within them is one reason to ask

// The latest `count` sessions with `find` in their titles, as {find, sessions, before, asOf}; `before` is null if there
// are no more. Without an answer it is null; a server that has no lists has {older: true}.
async function listed({ find, count }) {
  const asOf = Date.now();
  const sessions = [];
  let before = null;
  do {
    const query = new URLSearchParams({ limit: Math.min(LONGEST, count - sessions.length) });
    if (find) query.set("q", find);
    if (before) query.set("before", before);
    const { ok, status, data } = await call("GET", `chat?${query}`);
    if (!ok) return status === 404 || status === 405 ? { older: true } : null;
    sessions.push(...data.sessions.map(listedSession));
    before = data.before;
  } while (before && sessions.length < count);
  return { find, sessions, before, asOf };
}

// wanted() is what to ask for, or null. Returns a function that asks soon, and once more if it has asked meanwhile.
export function watchList(wanted, handler) {
  let timer = null;
  let asking = false;

  async function ask() {
    timer = null;
    if (asking) return soon();
    const what = wanted();
    if (!what) return;
    asking = true;
    const answer = await listed(what);
    asking = false;
    if (answer) handler(answer);
  }

  const soon = () => (timer ??= setTimeout(ask, SOON));
  return soon;
}
