// State -> the turns on the page.

import { isInFlight } from "../state/chat.js";
import { titleOfSession } from "../state/sessions.js";
import { $, announce, arrange, copyOf, setText } from "./dom.js";
import { showMarkdown } from "./render-markdown.js";
import { againOf, childOf, outcomeOf, textOf } from "../state/words.js";

const LONGEST_READ_OUT = 2000;

const shown = new WeakMap(); // item -> {element, inFlight}
const items = new WeakMap(); // element -> item

// The turn that a button on the page belongs to.
export const turnAt = (button) => items.get(button.closest(".turn"));

export function renderTurns(state) {
  const { chat, connection } = state;
  const elements = chat.shown.map((item) => {
    const view = shown.get(item) ?? create(item);
    if (!item.note) renderTurn(item, view, connection === "connected");
    if (item.parent || item.children?.length) renderFamily(state, item, view);
    return view.element;
  });
  arrange($("turns"), elements);
}

function create(item) {
  const element = copyOf(item.note ? "note-template" : "turn-template");
  if (item.note) element.textContent = item.note;
  const view = { element, inFlight: false };
  shown.set(item, view);
  items.set(element, item);
  return view;
}

function renderTurn(turn, view, connected) {
  const part = (name) => view.element.querySelector(name);
  const [kind, words] = outcomeOf(turn, connected);
  const inFlight = isInFlight(turn);
  view.element.dataset.status = turn.status;
  setText(part(".message"), textOf(turn.message));
  part(".you").hidden = part(".message").hidden;
  part(".cut").hidden = !turn.cut;
  showMarkdown(part(".reply"), turn.text, inFlight ? "growing" : turn.status !== "completed" && "cut");
  part(".they").hidden = !turn.text;
  setText(part(".outcome"), words);
  part(".outcome").dataset.kind = kind;
  setText(part(".again"), againOf(turn));
  part(".copy-reply").hidden = inFlight || !turn.text;
  view.element.dataset.undone = turn.record?.rollback ?? "";
  if (view.inFlight && !inFlight) announceEnd(part(".reply"), words);
  view.inFlight = inFlight;
}

// Where its message comes from, and what it has sent to other sessions.
function renderFamily(state, turn, { element }) {
  const { parent, children } = turn;
  element.querySelector(".from").hidden = !parent;
  if (parent) renderLink(state, element.querySelector(".from a"), parent);
  if (parent) element.querySelector(".you").textContent = "Message";
  const list = element.querySelector(".sent ul");
  element.querySelector(".sent").hidden = !children.length;
  while (list.children.length < children.length) list.append(copyOf("child-template"));
  children.forEach((child, place) => {
    const row = list.children[place];
    const [kind, words] = childOf(child, isInFlight(turn), state.running);
    renderLink(state, row.querySelector("a"), child);
    setText(row.querySelector(".standing"), words);
    row.dataset.kind = kind;
  });
}

function renderLink(state, link, { session }) {
  setText(link, titleOfSession(state, session) || session);
  link.href = `#${session}`;
}

// A screen reader reads a reply once it is whole, and how it ended if not well; not every word as it comes.
function announceEnd(reply, outcome) {
  const copy = reply.cloneNode(true);
  for (const bar of copy.querySelectorAll(".bar")) bar.remove();
  const text = [...copy.children].map((block) => block.textContent).join("\n");
  announce([text.slice(0, LONGEST_READ_OUT), outcome].filter(Boolean).join("\n"));
}
