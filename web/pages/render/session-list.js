// State -> the list of sessions on the page, and its dialog.

import { $, arrange, copyOf, setText } from "./dom.js";

const elements = new Map(); // id -> element

export const UNTITLED = "New chat";

export const sessionAt = (element) => element.closest("[data-session]").dataset.session;

export const titleOfSession = ({ sessions }, id) => sessions.find((each) => each.id === id)?.title || UNTITLED;

export function renderSessions(state) {
  const current = state.chat.session;
  const isKept = state.sessions.some(({ id }) => id === current);
  const ids = [...(isKept ? [] : [current]), ...state.sessions.map(({ id }) => id)];
  for (const id of elements.keys()) if (!ids.includes(id)) elements.delete(id);
  arrange($("sessions"), ids.map((id) => renderSession(state, id)));
  renderDialog(state);
}

function renderSession(state, id) {
  const element = elements.get(id) ?? create(id);
  const part = (name) => element.querySelector(name);
  const title = titleOfSession(state, id);
  const isKept = state.sessions.some((each) => each.id === id);
  const isCurrent = id === state.chat.session;
  const running = isCurrent ? Boolean(state.chat.current) : state.running.has(id);
  setText(part(".title"), title);
  part("a").title = title;
  if (isCurrent) part("a").setAttribute("aria-current", "page");
  else part("a").removeAttribute("aria-current");
  element.dataset.state = running ? "running" : state.unseen.has(id) ? "unseen" : "";
  setText(part(".standing"), running ? "running" : state.unseen.has(id) ? "ended meanwhile" : "");
  part(".rename").setAttribute("aria-label", `Rename “${title}”`);
  part(".delete").setAttribute("aria-label", `Delete “${title}”`);
  part(".rename").hidden = part(".delete").hidden = !isKept;
  renderName(element, state.renaming === id, title);
  return element;
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
  setText($("delete-title"), `Delete “${titleOfSession(state, state.deleting)}”?`);
  dialog.showModal();
}
