// State -> words.

import { isInFlight } from "./conversation.js";

export const CONNECTION = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  login: "Token needed",
  refused: "Not connected",
  closed: "Session closed",
};

const CAUSES = {
  user_request: "Stop",
  superseded: "Replaced by the next message",
  client_disconnected: "The client went away",
  timeout: "Out of time",
  shutdown: "The server shut down",
  admin: "Stopped by an admin",
  policy: "Stopped by a rule",
  session_closed: "The session was closed",
};

export function textOf(message) {
  if (!Array.isArray(message)) return typeof message === "string" ? message : "";
  return message.map((part) => part?.text ?? `[${part?.type}]`).join("\n");
}

const LONGEST_TITLE = 60;

// A session's title, from the first message in it.
export function titleOf(message) {
  const line = textOf(message).trim().split("\n")[0].replace(/\s+/g, " ");
  const letters = [...line];
  return letters.length > LONGEST_TITLE ? `${letters.slice(0, LONGEST_TITLE - 1).join("").trimEnd()}…` : line;
}

const span = (ms) => (ms < 1 ? "less than 1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// What a cancel came to: from the answer if this page asked, else from the turn's record.
function verdictOf({ answer, record, status }) {
  if (answer || !record?.reason) return answer;
  const verdict = ["cancelled", "timed_out", "unresponsive"].includes(status) ? status : "finished_first";
  return { cause: record.reason.code, verdict, ms: (record.ended_at - record.cancel_requested_at) * 1000 };
}

function verdictText(turn) {
  const { cause, verdict, ms } = verdictOf(turn) ?? {};
  if (!cause) return "";
  const [never, late] = [turn.record?.started_at === null, turn.record?.cancel_requested_at];
  const words = {
    cancelled: never ? "cancelled before it began" : `cancelled after ${span(ms)}`,
    timed_out: `it ended ${span(ms)} later`,
    finished_first: late ? `not cancelled, it ended by itself ${span(ms)} later` : "it had already finished",
    unresponsive: `it did not stop within ${span(ms)} and was set aside`,
    requested: "asked for, with no outcome yet",
    not_running: "it was not running",
  };
  return `${CAUSES[cause] ?? cause}: ${words[verdict]}.`;
}

function progress(status, connected) {
  if (status === "sending") return "Sending…";
  if (!connected) return "In flight when last heard of…";
  return { queued: "Waiting for the turn before it to end…", cancelling: "Stopping…" }[status] ?? "Running…";
}

// What failed; in words if the agent has said them.
function failureOf({ record, why }) {
  const { code, stage, type } = record?.error ?? {};
  return why ? `Failed (${code}): ${why}.` : `Failed (${[code, stage, type].filter(Boolean).join(", ")}).`;
}

// [kind, words]: how a turn stands, or why it ended. One that ended well and undisturbed needs no words.
export function outcomeOf(turn, connected) {
  const { status, detail, stopping } = turn;
  if (isInFlight(turn) && detail) return ["bad", detail];
  if (isInFlight(turn)) return ["busy", stopping ? "Stopping…" : progress(status, connected)];
  const because = verdictText(turn);
  const words = {
    unsent: detail,
    lost: "Cut off or forgotten: the server no longer knows this turn.",
    completed: because && `Completed. ${because}`,
    cancelled: because || "Cancelled.",
    cut_off: "Cut off: this is not the whole reply.",
    failed: `${failureOf(turn)} ${because}`,
    timed_out: `Timed out. ${because}`,
    interrupted: `Interrupted, the server went down. ${because}`,
    unresponsive: `Unresponsive. ${because}`,
  };
  return [["completed", "cancelled", "cut_off"].includes(status) ? "calm" : "bad", words[status] ?? status];
}

// What of a turn may be tried again, and what the button is called then.
export function againOf({ status, message }) {
  if (!message) return "";
  if (status === "unsent") return "Send again";
  return ["failed", "timed_out", "interrupted", "lost", "unresponsive"].includes(status) ? "Try again" : "";
}
