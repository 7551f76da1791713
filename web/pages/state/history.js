// The messages that the server kept -> turns. Pure.

import { textOf } from "./words.js";

const contentOf = ({ content }) => (typeof content === "string" || Array.isArray(content) ? content : "");

const endOf = ({ cut_off, error }) => {
  if (typeof error === "string") return { status: "failed", record: { error: { code: error } } };
  return { status: cut_off === true ? "cut_off" : "completed" };
};

// The shape of messages is the agent's choice: the user's and the assistant's are shown, as turns.
export function turnsOf({ messages }) {
  const turns = [];
  for (const each of messages) {
    const turn = { message: null, text: "", status: "completed" };
    if (each?.role === "user") turns.push({ ...turn, message: contentOf(each) });
    if (each?.role !== "assistant") continue;
    if (!turns.length) turns.push(turn);
    say(turns.at(-1), { ...endOf(each), text: textOf(contentOf(each)) });
  }
  return turns;
}

const say = (turn, { text, ...end }) =>
  Object.assign(turn, end, { text: [turn.text, text].filter(Boolean).join("\n\n") });

// The turns of an earlier page of messages, and those that follow it. The first of them may be the rest of a turn
// whose message is on this page.
export function turnsBefore(page, later) {
  if (!page.messages.length) return [{ note: "The beginning of this conversation is no longer kept." }, ...later];
  const earlier = turnsOf(page);
  const [{ message, text, status, record }, ...others] = later;
  if (message !== null || !earlier.length) return [...earlier, ...later];
  say(earlier.at(-1), { text, status, record });
  return [...earlier, ...others];
}
