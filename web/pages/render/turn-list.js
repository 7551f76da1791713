// State -> the turns on the page.

import { isInFlight } from "../state/chat.js";
import { $, announce, arrange, copyOf, setText } from "./dom.js";
import { showMarkdown } from "./render-markdown.js";
import { againOf, outcomeOf, textOf } from "../state/words.js";

const LONGEST_READ_OUT = 2000;

const shown = new WeakMap(); // item -> {element, inFlight}
const items = new WeakMap(); // element -> item

// The turn that a button on the page belongs to.
export const turnAt = (button) => items.get(button.closest(".turn"));

export function renderTurns({ chat, connection }) {
  const elements = chat.shown.map((item) => {
    const view = shown.get(item) ?? create(item);
    if (!item.note) renderTurn(item, view, connection === "connected");
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

// A screen reader reads a reply once it is whole, and how it ended if not well; not every word as it comes.
function announceEnd(reply, outcome) {
  const copy = reply.cloneNode(true);
  for (const bar of copy.querySelectorAll(".bar")) bar.remove();
  const text = [...copy.children].map((block) => block.textContent).join("\n");
  announce([text.slice(0, LONGEST_READ_OUT), outcome].filter(Boolean).join("\n"));
}
