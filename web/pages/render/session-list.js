// State -> the list of sessions on the page, and its dialog.

import { sessionOf, titleOfSession } from "../state/sessions.js";
import { dayOf } from "../state/words.js";
import { $, arrange, copyOf, setText } from "./dom.js";

const elements = new Map(); // id -> element

export const UNTITLED = "New chat";

export const nameOf = (state, id) => titleOfSession(state, id) || UNTITLED;

export const sessionAt = (element) => element.closest("[data-session]").dataset.session;

// The current one is on top if the list does not have it, unless something is searched for.
export function renderSessions(state) {
  const { chat, sessions, find } = state;
  const isListed = sessions.some(({ id }) => id === chat.session);
  const shown = isListed || find ? sessions : [sessionOf(state, chat.session) ?? { id: chat.session }, ...sessions];
  const ids = new Set(shown.map(({ id }) => id));
  for (const id of elements.keys()) if (!ids.has(id)) elements.delete(id);
  const isShared = new Set(shown.map(({ user }) => user).filter(Boolean)).size > 1;
  arrange($("sessions"), shown.map((each) => renderSession(state, each, isShared)));
  renderAround(state);
  renderDialog(state);
}

// What stands above and below the list.
function renderAround({ sessions, find, found, listed, listProblem }) {
  const isAnswered = find && (found?.find === find || !listed);
  const [count, more] = [sessions.length, Boolean((find ? found : listed)?.before)];
  const words = count === 1 && !more ? "1 chat has" : `${count || "No"}${more ? " or more" : ""} chats have`;
  setText($("found"), isAnswered ? `${words} this in the title.` : "");
  setText($("list-problem"), listProblem);
  const isLeft = !more && document.activeElement === $("more");
  $("more").hidden = !more;
  if (isLeft) $("sessions").lastElementChild.querySelector("a").focus();
  $("own-list").hidden = Boolean(listed);
}

function renderSession(state, session, isShared) {
  const { id, at, user, missing } = session;
  const element = elements.get(id) ?? create(id);
  const part = (name) => element.querySelector(name);
  const title = nameOf(state, id);
  const isCurrent = id === state.chat.session;
  const standing = isCurrent ? state.chat.activity : standingOf(state, session);
  setText(part(".title"), title);
  part("a").title = title;
  if (isCurrent) part("a").setAttribute("aria-current", "page");
  else part("a").removeAttribute("aria-current");
  element.dataset.state = standing;
  setText(part(".standing"), standing);
  setText(part("time"), at ? dayOf(at) : "");
  if (at) part("time").dateTime = new Date(at).toISOString();
  setText(part(".whose"), missing ? "not on the server" : isShared && user ? `of ${user}` : "");
  part(".rename").setAttribute("aria-label", `Rename “${title}”`);
  part(".delete").setAttribute("aria-label", `Delete “${title}”`);
  part(".rename").hidden = part(".delete").hidden = !at;
  renderName(element, state.renaming === id, title);
  return element;
}

// How a session that is not shown stands.
function standingOf({ running, unseen }, { id, isQueued }) {
  if (running.has(id)) return "running";
  if (unseen.has(id)) return "ended meanwhile";
  return isQueued ? "waiting" : "";
}

function create(id) {
  const element = copyOf("session-template");
  element.dataset.session = id;
  element.querySelector("a").href = `#${id}`;
  elements.set(id, element);
  return element;
}

function renderName(element, renaming, title) {
  const form = element.querySelector(".name");
  if (form.hidden === !renaming) return;
  form.hidden = !renaming;
  element.querySelector("a").hidden = renaming;
  const input = form.querySelector("input");
  if (renaming) {
    input.value = title;
    input.focus();
    input.select();
  } else if (document.activeElement === document.body) element.querySelector("a").focus();
}

function renderDialog(state) {
  const dialog = $("delete-dialog");
  setText($("delete-problem"), state.deleteProblem);
  if (dialog.open === Boolean(state.deleting)) return;
  if (!state.deleting) return dialog.close();
  setText($("delete-title"), `Delete “${nameOf(state, state.deleting)}”?`);
  dialog.showModal();
}
