// State -> words.

import { isElided, isInFlight } from "./chat.js";
import { BEGUN, CANCEL_CODES, ROLLBACKS, STATUSES, VERDICTS, WAITS_FOR, WAYS, cutOffIn, endedLate, stillRan, timedOut } from "./vocabulary.js";

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

// A moment to come: its time, and its day if that is not today.
const momentOf = (at) => {
  const time = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return dayOf(at) === time ? time : `${dayOf(at)}, ${time}`;
};

// What a turn waits for, at a place of the server's: {position, waits_for, not_before}, and `standing` if it waits for a
// slot: {position, waiting}, among the user's own and how many in all. A word of a later server's is passed over.
export function waitOf(place) {
  const { position, waits_for: word, not_before: moment, standing } = place ?? { waits_for: "session_busy" };
  const { position: own, waiting } = standing ?? {};
  const among = standing ? `: place ${own} of your own, ${waiting} ${waiting === 1 ? "waits" : "wait"} in all` : "";
  return WAITS_FOR[word]?.text({ position, moment: moment && momentOf(moment * 1000), among }) ?? `Waiting${among}`;
}

// What the keys do.
export function hintOf({ isBusy, current, rule, way }) {
  if (!isBusy) return "Enter sends, Shift+Enter starts a new line.";
  const behind = rule.isOpen && !WAYS[way]?.waits ? "Ctrl+Enter sends behind it." : "";
  return [WAYS[way]?.hint, behind, current && "Escape stops."].filter(Boolean).join(" ");
}

// Refusals of a change that came too late.
const TOO_LATE = ["NOT_WAITING", "UNKNOWN_TURN"];

export const notChanged = (what, { data }, problem) =>
  `Not ${what}: ${TOO_LATE.includes(data.code) ? "it has started, or has ended, meanwhile" : problem}.`;

export const keptText = ({ message }) =>
  `“${titleOf(message)}” has started, or has ended, meanwhile. What you have written is in the message field.`;

export const clearedText = (count) => `${count === 1 ? "1 message that waited was" : `${count} messages that waited were`} cancelled, too.`;

// How many wait, and who is next.
export function lineOf(waiting) {
  const [first] = waiting;
  if (!first) return ["", ""];
  const count = waiting.length === 1 ? "1 message waits" : `${waiting.length} messages wait`;
  return [count, `. Next: “${titleOf(first.message)}”`];
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
  return message.map(textOfPart).reduce((text, part) => `${text}${text && !part.startsWith("\n") ? "\n" : ""}${part}`, "");
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
  const cleared = turn.answer?.cleared?.length;
  const wording = verdict === "timed_out" ? timedOut : VERDICTS[verdict];
  return `${CANCEL_CODES[cause]?.text ?? cause}${detail ? ` (${detail})` : ""}: ${wording?.({ ms, never, late }) ?? verdict}.${cleared ? ` ${clearedText(cleared)}` : ""}`;
}

// What failed, in words if the agent has given some.
function failureOf({ record, why }) {
  const { code, stage, type } = record?.error ?? {};
  return why ? `Failed (${code}): ${why}.` : `Failed (${[code, stage, type].filter(Boolean).join(", ")}).`;
}

// What the turn has used, if its agent has said that.
function usageOf(usage) {
  const { input_tokens: read, output_tokens: written } = usage ?? {};
  const counts = [read != null && `${read} read`, written != null && `${written} written`].filter(Boolean);
  return counts.length ? `Tokens: ${counts.join(", ")}.` : "";
}

// What of the turn runs on: when it was given up, or now while it is about to end.
function leftOf(record) {
  const counts = Object.entries(BEGUN).map(([name, { one, several }]) => [record?.still_running?.[name], one, several]);
  const left = counts.filter(([count]) => count).map(([count, one, several]) => `${count} ${count === 1 ? one : several}`);
  return left.join(" and ");
}

// What is said of that once it was given up.
function afterwardsOf(record) {
  const [left, late] = [leftOf(record), record?.ended_late];
  const since = late && endedLate({ ms: (late.at - record.ended_at) * 1000 });
  return [left && stillRan(left), since].filter(Boolean).join(" ");
}

// [kind, words]: how a turn stands, or why it ended. One that ended well and undisturbed needs no words.
export function outcomeOf(turn, connected) {
  const { status, detail, stopping, goesOn, place, into, record } = turn;
  const { kind, text } = rowOf(status);
  const calls = turn.calls?.map(({ name }) => name).join(", ");
  if (!isInFlight(turn)) {
    const taker = into?.message && `“${titleOf(into.message)}”`;
    const words = text({ detail, failure: failureOf(turn), because: becauseOf(turn), into: taker });
    const undone = ROLLBACKS[record?.rollback];
    const cut = calls && cutOffIn(calls);
    const used = usageOf(record?.usage);
    return [undone?.kind ?? kind, [words?.trim(), afterwardsOf(record), cut, undone?.text, used].filter(Boolean).join(" ")];
  }
  if (detail) return ["bad", detail];
  const [held, left] = [record?.held, leftOf(record)];
  if (stopping) return [kind, STATUSES.cancelling.text({ held, left })];
  const words = () => text({ goesOn, calls, wait: waitOf(place), held, left });
  return [kind, connected || status === "sending" ? words() : "In flight when the connection was lost…"];
}

// [kind, words]: how a child of a turn stands, which is `inFlight` itself; `running` are the sessions in which a turn is
// known to be.
export function childOf({ session, status }, inFlight, running) {
  if (status) return [rowOf(status).kind, status.replaceAll("_", " ")];
  if (!inFlight) return ["calm", ""];
  return ["busy", running.has(session) ? "running" : "on its way"];
}

// What of a turn may be tried again, and what the button is called then: no agent has seen a message that is sent again.
// A message that is not here as a whole cannot be, nor one that another turn has.
export function againOf(turn) {
  if (!turn.message || isElided(turn.message) || turn.status === "merged") return "";
  if (turn.status === "unsent" || neverBegan(turn)) return "Send again";
  const wasCut = turn.status === "cancelled" && CANCEL_CODES[turn.record?.reason?.code]?.again;
  return wasCut || rowOf(turn.status).again ? "Try again" : "";
}
