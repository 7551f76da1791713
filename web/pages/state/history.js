// The messages that the server kept -> turns. Pure.

import { textOf } from "./words.js";

const contentOf = ({ content }) => (typeof content === "string" || Array.isArray(content) ? content : "");

const endOf = ({ cut_off, error }) => {
  if (typeof error === "string") return { status: "failed", record: { error: { code: error } } };
  return { status: cut_off === true ? "cut_off" : "completed" };
};

// The shape of messages is the agent's choice: the user's and the assistant's are shown, as turns.
export function turnsOf({ messages, omitted }) {
  const turns = [];
  for (const each of messages) {
    const turn = { message: null, text: "", status: "completed" };
    if (each?.role === "user") turns.push({ ...turn, message: contentOf(each) });
    if (each?.role !== "assistant") continue;
    if (!turns.length) turns.push(turn);
    const [last, text] = [turns.at(-1), textOf(contentOf(each))];
    Object.assign(last, endOf(each), { text: [last.text, text].filter(Boolean).join("\n\n") });
  }
  if (omitted) turns.unshift({ note: "The beginning of this conversation is no longer shown." });
  return turns;
}
