// The server's words that the page knows, and what each means here. Every table has a row for every word of
// the server's: tests/web/pages/test_vocabulary.py compares them, row by row, so each row begins its own line.

const span = (ms) => (ms < 1 ? "less than 1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// A turn's status. `inFlight`: it has not ended. `kind`: how its outcome looks. `verdict`: what its record says
// of a cancel. `again`: it may be tried again. `text`: what is shown, from what is known of the cancel
// (`because`) and of the failure (`failure`), what the turn waits for (`wait`), and the message that it has joined
// (`into`), the tools that it calls (`calls`), and what its end waits for (`left`); `goesOn` is whether another attempt is
// about to start, `held` whether its cancel waits for a step.
export const STATUSES = {
  queued: { inFlight: true, kind: "busy", text: ({ goesOn, wait }) => (goesOn ? "Interrupted, and about to go on…" : `${wait}…`) },
  running: { inFlight: true, kind: "busy", text: ({ calls, left }) => (left ? `Ending, waiting for ${left}…` : calls ? `Calling ${calls}…` : "Running…") },
  cancelling: { inFlight: true, kind: "busy", text: ({ held, left }) => (held ? "Stopping after the step that must not be interrupted…" : left ? `Stopping, waiting for ${left}…` : "Stopping…") },
  completed: { kind: "calm", verdict: "finished_first", text: ({ because }) => because && `Completed. ${because}` },
  failed: { kind: "bad", verdict: "finished_first", again: true, text: ({ failure, because }) => `${failure} ${because}` },
  cancelled: { kind: "calm", verdict: "cancelled", text: ({ because }) => because || "Cancelled." },
  timed_out: { kind: "bad", verdict: "timed_out", again: true, text: ({ because }) => `Timed out. ${because}` },
  interrupted: { kind: "bad", verdict: "finished_first", again: true, text: ({ because }) => `Interrupted: the server failed or was restarted. ${because}` },
  unresponsive: { kind: "bad", verdict: "unresponsive", again: true, text: ({ because }) => `Unresponsive. ${because}` },
  merged: { kind: "calm", verdict: "finished_first", text: ({ into }) => `Joined with ${into || "a message that waits"}.` },
};

// Why a turn was cancelled. `again`: no person has asked for that, and it may be tried again.
export const CANCEL_CODES = {
  user_request: { text: "Stop" },
  superseded: { text: "Replaced by the next message" },
  parent_cancelled: { text: "The turn that had asked for it was stopped" },
  client_disconnected: { text: "The client went away", again: true },
  timeout: { text: "Out of time" },
  budget_exceeded: { text: "It used more than it may", again: true },
  stalled: { text: "It emitted nothing for too long", again: true },
  shutdown: { text: "The server shut down", again: true },
  admin: { text: "Stopped by an admin" },
  policy: { text: "Stopped by a rule" },
  session_closed: { text: "The session was closed" },
  journal_lost: { text: "The server could not write it down", again: true },
};

// How far a turn was undone.
export const ROLLBACKS = {
  done: { kind: "calm", text: "Undone: the conversation is as it was before." },
  partly: { kind: "bad", text: "Undone, but not wholly: the conversation is as it was before, and something that it did elsewhere may be left." },
};

// What a turn waits for, at its place. `behind`: it stands in the line of those that wait in its session; without that
// it is the next one there. `among`: where it stands among those of other sessions.
export const WAITS_FOR = {
  session_busy: { behind: true, text: ({ position }) => (position > 1 ? "Waits for those before it" : position === 1 ? "Next, when the reply has ended" : "Waiting for the turn before it to end") },
  not_before: { behind: true, text: ({ moment }) => `Waits until ${moment}` },
  server_cap: { text: ({ among }) => `Waiting until the server has room${among}` },
  user_cap: { text: ({ among }) => `Waiting until fewer of your messages are being answered${among}` },
  start: { text: () => "About to start" },
  agent_cap: { text: ({ among }) => `Waiting until the agent has room${among}` },
};

// What to do with a message that is sent while a turn runs. `name`: what it is called where it is chosen, and `hint`:
// what is said of it then. `waits`: it waits for its turn. `isRule`: it is offered only where it is the host's rule.
export const WAYS = {
  interrupt: { name: "Replace the reply", hint: "Enter replaces the reply." },
  enqueue: { name: "Send behind it", waits: true, hint: "Enter sends behind the reply." },
  collapse: { name: "Join what waits", waits: true, hint: "Enter joins your last message that waits." },
  rollback: { name: "Undo and replace", hint: "Enter undoes the reply, and replaces it." },
  reject: { name: "Refuse it", isRule: true, hint: "A message is refused while the reply runs." },
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

// What is said of a turn that had not come back from these calls of tools when it was stopped.
export const cutOffIn = (calls) => `It was cut off while it called ${calls}.`;

// What a turn begins: one of it, and several, by the member of `still_running`.
export const BEGUN = {
  tasks: { one: "task", several: "tasks" },
  threads: { one: "thread", several: "threads" },
  processes: { one: "process", several: "processes" },
};

// What is said of a turn of which that much was running when it was given up, and of one that has ended since.
export const stillRan = (counts) => `${counts} still ran.`;
export const endedLate = ({ ms }) => `It ended after all, ${span(ms)} later.`;

// A status that is no verdict of the server's.
export const timedOut = ({ ms }) => `it ended ${span(ms)} later`;

// The names of the server's own events. An EventSource listens to each by its name.
export const EVENTS = [
  "snapshot",
  "gap",
  "close",
  "turn.queued",
  "turn.places",
  "turn.edited",
  "turn.started",
  "turn.completed",
  "turn.failed",
  "turn.cancelled",
  "turn.timed_out",
  "turn.interrupted",
  "turn.unresponsive",
  "turn.merged",
  "turn.tool_call",
  "turn.tool_result",
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
