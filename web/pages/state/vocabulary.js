// The server's words that the page knows, and what each means here. Every table has a row for every word of
// the server's: tests/web/pages/test_vocabulary.py compares them, row by row, so each row begins its own line.

const span = (ms) => (ms < 1 ? "less than 1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// A turn's status. `inFlight`: it has not ended. `kind`: how its outcome looks. `verdict`: what its record says
// of a cancel. `again`: it may be tried again. `text`: what is shown, from what is known of the cancel
// (`because`) and of the failure (`failure`); `goesOn` is whether another attempt is about to start.
export const STATUSES = {
  queued: { inFlight: true, kind: "busy", text: ({ goesOn }) => (goesOn ? "Interrupted, and about to go on…" : "Waiting for the turn before it to end…") },
  running: { inFlight: true, kind: "busy", text: () => "Running…" },
  cancelling: { inFlight: true, kind: "busy", text: () => "Stopping…" },
  completed: { kind: "calm", verdict: "finished_first", text: ({ because }) => because && `Completed. ${because}` },
  failed: { kind: "bad", verdict: "finished_first", again: true, text: ({ failure, because }) => `${failure} ${because}` },
  cancelled: { kind: "calm", verdict: "cancelled", text: ({ because }) => because || "Cancelled." },
  timed_out: { kind: "bad", verdict: "timed_out", again: true, text: ({ because }) => `Timed out. ${because}` },
  interrupted: { kind: "bad", verdict: "finished_first", again: true, text: ({ because }) => `Interrupted: the server failed or was restarted. ${because}` },
  unresponsive: { kind: "bad", verdict: "unresponsive", again: true, text: ({ because }) => `Unresponsive. ${because}` },
  merged: { kind: "calm", verdict: "finished_first", text: () => "Joined with the message before it." },
};

// Why a turn was cancelled.
export const CANCEL_CODES = {
  user_request: "Stop",
  superseded: "Replaced by the next message",
  client_disconnected: "The client went away",
  timeout: "Out of time",
  budget_exceeded: "It emitted more than it may",
  stalled: "It emitted nothing for too long",
  shutdown: "The server shut down",
  admin: "Stopped by an admin",
  policy: "Stopped by a rule",
  session_closed: "The session was closed",
  journal_lost: "The server could not write it down",
};

// What a cancel came to, `ms` after it was requested. `never`: its agent had not begun. `late`: the turn was
// still in flight when it was requested.
export const VERDICTS = {
  cancelled: ({ ms, never }) => (never ? "cancelled before it began" : `cancelled after ${span(ms)}`),
  finished_first: ({ ms, late }) => (late ? `not cancelled, it ended by itself ${span(ms)} later` : "it had already finished"),
  unresponsive: ({ ms }) => `it did not stop within ${span(ms)} and was set aside`,
  not_running: () => "it was not running",
  requested: () => "requested, and the outcome is not known yet",
};

// A status that is no verdict of the server's.
export const timedOut = ({ ms }) => `it ended ${span(ms)} later`;

// The names of the server's own events. An EventSource listens to each by its name.
export const EVENTS = [
  "snapshot",
  "gap",
  "close",
  "turn.queued",
  "turn.places",
  "turn.started",
  "turn.completed",
  "turn.failed",
  "turn.cancelled",
  "turn.timed_out",
  "turn.interrupted",
  "turn.unresponsive",
  "turn.merged",
];

// What a `close` says, and when more of the session follows: `now` on this stream, `later` on a new one, or `never`.
export const STREAM_ENDS = {
  "Task cancelled": "now",
  "Task finished": "now",
  "Task unresponsive": "now",
  "Session closed": "never",
  "Session lost": "later",
  "Server shutting down": "later",
};
