// The messages that wait in line: what users do with them, and what the server says of them.

import { call, path, problemOf } from "./net/api.js";
import { $, announce, focusMessage, on } from "./render/dom.js";
import { edited, waitingAt } from "./render/queue-list.js";
import { change, state } from "./state/store.js";
import { keptText, notChanged, waitOf } from "./state/words.js";

// -- What there is --------------------------------------------------------------------------------------

let asking = false;

// Asks once more if that is wanted again meanwhile.
export async function askForQueue() {
  state.chat.wantsQueue = true;
  if (asking) return;
  asking = true;
  while (state.chat.wantsQueue && state.connection === "connected") await ask(state.chat);
  asking = false;
}

async function ask(chat) {
  const { heard, session } = chat;
  chat.wantsQueue = false;
  const { ok, status, data } = await call("GET", path(session, "queue"));
  if (!ok && status !== 404) return; // 404: the server does not know the session, or is too old to have queues
  let missed = [];
  change(() => (missed = chat.onQueue(ok ? data.queue : [], heard)));
  for (const id of missed) {
    const answer = await call("GET", path(session, "turns", id));
    change(() => chat.onMissed(id, answer));
  }
}

// What was written into a message that waits no longer is not lost.
export function keepWhatIsEdited(written = edited()) {
  const { chat } = state;
  const { turn, text, isChanged } = written ?? {};
  if (!chat.editing || turn?.id !== chat.editing || turn.changing || chat.waits(turn.id)) return;
  chat.editing = null;
  if (!isChanged) return;
  $("message").value = [$("message").value, text].filter(Boolean).join("\n");
  chat.queueProblem = keptText(turn);
}

// -- What users do --------------------------------------------------------------------------------------

// Returns whether it was changed. Else the page says that it was not `what`.
async function changeTurn(turn, body, what) {
  const { chat } = state;
  if (turn.changing) return false;
  change(() => {
    turn.changing = true;
    chat.queueProblem = "";
  });
  const { heard } = chat;
  const written = edited();
  const answer = await call("PATCH", path(chat.session, "turns", turn.id), body);
  change(() => {
    turn.changing = false;
    if (answer.ok) chat.onQueue(answer.data.queue, heard);
    else chat.queueProblem = notChanged(what, answer, problemOf(answer));
    if (!answer.ok) keepWhatIsEdited(written);
  });
  if (!answer.ok) askForQueue();
  return answer.ok;
}

async function move(turn, to) {
  const { chat } = state;
  const isMoved = await changeTurn(turn, { move: to }, "moved");
  if (isMoved && chat.waits(turn.id)) announce(waitOf(turn.place));
}

async function cancel(turn) {
  const { chat } = state;
  if (turn.stopping) return;
  change(() => Object.assign(turn, { stopping: true, detail: "" }));
  const answer = await call("POST", path(chat.session, turn.id, "cancel"));
  change(() => chat.onStopAnswered(turn, answer, problemOf(answer)));
}

// Another tab may have edited it since.
async function edit(turn) {
  const { chat } = state;
  await askForQueue();
  change(() => (chat.editing = chat.waits(turn.id) ? turn.id : null));
}

const stopEditing = () => change(() => (state.chat.editing = null));

async function save(turn, message) {
  if (!message.trim()) return;
  if (!edited().isChanged) return stopEditing();
  const isSaved = await changeTurn(turn, { message }, "changed");
  if (isSaved) change(() => Object.assign(turn, { message }));
  if (isSaved) stopEditing();
}

on($("waiting"), "click", ({ target }) => {
  const button = target.closest("button");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  const turn = waitingAt(button);
  if (button.matches(".move")) move(turn, button.dataset.to);
  else if (button.matches(".edit")) edit(turn);
  else if (button.matches(".discard")) stopEditing();
  else if (button.matches(".cancel")) cancel(turn);
});
on($("waiting"), "submit", (event) => {
  event.preventDefault();
  save(waitingAt(event.target), event.target.querySelector("textarea").value);
});
on($("waiting"), "keydown", (event) => {
  if (!event.target.matches("textarea") || event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    event.target.form.requestSubmit();
  } else if (event.key === "Escape") {
    event.stopPropagation(); // it stops no turn
    stopEditing();
  }
});
on(window, "focus", askForQueue);
on(document, "visibilitychange", () => document.hidden || askForQueue());
