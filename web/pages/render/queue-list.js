// State -> the messages that wait in line.

import { isElided } from "../state/chat.js";
import { lineOf, textOf, titleOf, waitOf } from "../state/words.js";
import { $, arrange, copyOf, focusMessage, setText } from "./dom.js";

const elements = new WeakMap(); // turn -> element
const turns = new WeakMap(); // element -> turn

// The turn that a control of the list belongs to.
export const waitingAt = (control) => turns.get(control.closest("li"));

// The message that is being edited, as {turn, text, isChanged}.
export function edited() {
  const field = document.querySelector("#waiting form:not([hidden]) textarea");
  return field && { turn: waitingAt(field), text: field.value, isChanged: field.value !== field.defaultValue };
}

export function renderQueue({ chat }) {
  const { waiting, queueProblem } = chat;
  const [count, next] = lineOf(waiting);
  const focused = document.activeElement;
  const place = [...$("waiting").children].findIndex((element) => element.contains(focused));
  setText($("line-count"), count);
  setText($("line-next"), next);
  setText($("line-problem"), queueProblem);
  arrange($("waiting"), waiting.map((turn) => renderWaiting(chat, turn)));
  $("line").hidden = !waiting.length;
  if (place >= 0 && document.activeElement !== focused) keepFocus(focused, place);
}

// An element that is moved loses the focus. One that is gone leaves it to the next message, but to no control of it: a
// second press would hit what it was not meant for.
function keepFocus(focused, place) {
  const list = $("waiting");
  const there = list.contains(focused) ? focused : list.children[Math.min(place, list.children.length - 1)];
  if (there?.checkVisibility()) there.focus();
  else focusMessage();
}

function renderWaiting(chat, turn) {
  const element = elements.get(turn) ?? create(turn);
  const part = (name) => element.querySelector(name);
  const { message, place, stopping, changing, detail, status } = turn;
  const [text, title] = [textOf(message), `“${titleOf(message ?? "")}”`];
  const isSent = status === "queued";
  element.setAttribute("aria-busy", String(Boolean(stopping || changing || !isSent)));
  setText(part(".number"), place?.position ? String(place.position) : "");
  part(".place").hidden = part(".number").hidden;
  part(".clock").toggleAttribute("hidden", place?.waits_for !== "not_before");
  setText(part(".text"), text.replace(/\n\s*\n/g, "\n")); // there is room for a few lines only
  part(".text").title = text.length > 200 ? text : "";
  setText(part(".why"), detail || (stopping ? "Cancelling…" : isSent ? waitOf(place) : "Sending…"));
  part(".why").dataset.kind = detail ? "bad" : "calm";
  part(".does").hidden = !isSent || chat.editing === turn.id;
  part(".edit").hidden = !isText(message);
  const last = chat.queue.findLast(({ position }) => position)?.position;
  for (const button of element.querySelectorAll(".does button")) {
    const isThere = { first: place?.position === 1, last: place?.position === last }[button.dataset.to];
    button.setAttribute("aria-disabled", String(Boolean(isThere || stopping || changing)));
    button.setAttribute("aria-label", `${button.title}: ${title}`);
  }
  renderEdit(element, chat.editing === turn.id, text);
  return element;
}

// What is typed would take the place of all parts.
const isText = (message) =>
  message !== null && !isElided(message) && (!Array.isArray(message) || message.every((part) => part?.type === "text"));

function create(turn) {
  const element = copyOf("waiting-template");
  elements.set(turn, element);
  turns.set(element, turn);
  return element;
}

function renderEdit(element, isEdited, text) {
  const form = element.querySelector("form");
  const field = form.querySelector("textarea");
  if (form.hidden === !isEdited) return isEdited && renewEdit(field, text);
  const isLeft = form.contains(document.activeElement);
  form.hidden = !isEdited;
  element.querySelector(".what").hidden = isEdited;
  if (isLeft) element.querySelector(".edit").focus();
  if (!isEdited) return;
  field.defaultValue = field.value = text;
  // It is not on the page yet if its chat has just been opened.
  requestAnimationFrame(() => {
    field.focus();
    form.scrollIntoView({ block: "nearest" }); // with its buttons
  });
}

// It was edited elsewhere meanwhile: that is taken over where nothing else was typed.
function renewEdit(field, text) {
  if (field.defaultValue === text || field.value !== field.defaultValue) return;
  field.defaultValue = field.value = text;
}
