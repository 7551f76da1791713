// This browser's own sessions, kept in its localStorage: the latest first, {id, title, at}.

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
  return keep([{ title, ...known, id, at }, ...sessions.filter((each) => each.id !== id)]);
}

export const renameSession = (id, title) =>
  keep(loadSessions().map((each) => (each.id === id ? { ...each, title } : each)));

export const forgetSession = (id) => keep(loadSessions().filter((each) => each.id !== id));
