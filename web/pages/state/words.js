// State -> words.

import { isElided, isInFlight } from "./chat.js";
import { CANCEL_CODES, STATUSES, VERDICTS, timedOut } from "./vocabulary.js";

export const CONNECTION = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  login: "Token needed",
  refused: "Not connected",
  closed: "Session closed",
};

// The button for earlier messages, by what became of the last request for them.
export const EARLIER = {
  "": "Show earlier messages",
  asking: "Loading earlier messages…",
  failed: "Not loaded. Try again to show earlier messages",
};

// The time of today, or else the day.
export function dayOf(at, now = Date.now()) {
  const [then, today] = [new Date(at), new Date(now)];
  if (then.toDateString() === today.toDateString()) {
    return then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
  const year = then.getFullYear() === today.getFullYear() ? {} : { year: "numeric" };
  return then.toLocaleDateString([], { month: "short", day: "numeric", ...year });
}

// Statuses of the page's own: of a turn that the server does not have, or of which it kept no record.
const OWN_STATUSES = {
  sending: { kind: "busy", text: () => "Sending…" },
  unsent: { kind: "bad", again: true, text: ({ detail }) => detail },
  lost: { kind: "bad", again: true, text: () => "Cut off or forgotten: the server no longer knows this turn." },
  cut_off: { kind: "calm", text: () => "Cut off: this is not the whole reply." },
};

// What a later server calls it is shown as it is.
const rowOf = (status) => STATUSES[status] ?? OWN_STATUSES[status] ?? { kind: "bad", text: () => status };

export function textOf(message) {
  if (!Array.isArray(message)) return typeof message === "string" ? message : "";
  return message.map(textOfPart).join("\n");
}

// Of a part that is no text, its kind; of a large one, which the server does not send, also its size.
function textOfPart(part) {
  const kind = String(part?.type ?? "part").replace(/_url$/, "");
  return part?.elided ? `[${kind}, ${sizeOf(part.bytes)}]` : (part?.text ?? `[${kind}]`);
}

const sizeOf = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const LONGEST_TITLE = 60;

// A session's title, from the first message in it.
export function titleOf(message) {
  const line = textOf(message).trim().split("\n")[0].replace(/\s+/g, " ");
  const letters = [...line];
  return letters.length > LONGEST_TITLE ? `${letters.slice(0, LONGEST_TITLE - 1).join("").trimEnd()}…` : line;
}

// Whether it ended before its agent saw the message.
const neverBegan = ({ record }) => record?.began === false;

// What a cancel came to: from the answer if this page asked, else from the turn's record.
function cancelOf({ answer, record, status }) {
  if (answer || !record?.reason) return answer ?? {};
  const ms = (record.ended_at - record.cancel_requested_at) * 1000;
  const { code, by, text } = record.reason;
  return { cause: code, detail: !by && text, verdict: rowOf(status).verdict, ms };
}

function becauseOf(turn) {
  const { cause, detail, verdict, ms } = cancelOf(turn);
  if (!cause) return "";
  const [never, late] = [neverBegan(turn), turn.record?.cancel_requested_at];
  const wording = verdict === "timed_out" ? timedOut : VERDICTS[verdict];
  return `${CANCEL_CODES[cause] ?? cause}${detail ? ` (${detail})` : ""}: ${wording?.({ ms, never, late }) ?? verdict}.`;
}

// What failed, in words if the agent has given some.
function failureOf({ record, why }) {
  const { code, stage, type } = record?.error ?? {};
  return why ? `Failed (${code}): ${why}.` : `Failed (${[code, stage, type].filter(Boolean).join(", ")}).`;
}

// [kind, words]: how a turn stands, or why it ended. One that ended well and undisturbed needs no words.
export function outcomeOf(turn, connected) {
  const { status, detail, stopping, goesOn } = turn;
  const { kind, text } = rowOf(status);
  if (!isInFlight(turn)) return [kind, text({ detail, failure: failureOf(turn), because: becauseOf(turn) })];
  if (detail) return ["bad", detail];
  if (stopping) return [kind, STATUSES.cancelling.text()];
  return [kind, connected || status === "sending" ? text({ goesOn }) : "In flight when the connection was lost…"];
}

// What of a turn may be tried again, and what the button is called then: no agent has seen a message that is sent again.
// A message that is not here as a whole cannot be.
export function againOf(turn) {
  if (!turn.message || isElided(turn.message)) return "";
  if (turn.status === "unsent" || neverBegan(turn)) return "Send again";
  return rowOf(turn.status).again ? "Try again" : "";
}
