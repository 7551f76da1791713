// What the server kept of a conversation -> what the page shows of it. Pure.

import { textOf } from "./words.js";

const contentOf = ({ content }) => (typeof content === "string" || Array.isArray(content) ? content : "");

const standingOf = ({ cut_off, error }) => {
  if (typeof error === "string") return { status: "failed", record: { error: { code: error } } };
  return { status: cut_off === true ? "cut_off" : "completed" };
};

// What messages look like is the agent's choice: shown is what people and the assistant said, as turns.
export function turnsOf({ messages, omitted }) {
  const turns = [];
  for (const each of messages) {
    const turn = { message: null, text: "", status: "completed" };
    if (each?.role === "user") turns.push({ ...turn, message: contentOf(each) });
    if (each?.role !== "assistant") continue;
    if (!turns.length) turns.push(turn);
    const [last, text] = [turns.at(-1), textOf(contentOf(each))];
    Object.assign(last, standingOf(each), { text: [last.text, text].filter(Boolean).join("\n\n") });
  }
  if (omitted) turns.unshift({ note: "The beginning of this conversation is too long ago to be shown." });
  return turns;
}
