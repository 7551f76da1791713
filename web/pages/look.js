// What events do not say of a turn, or not before its end: how its children stand, that its cancel waits for a step, and
// what of it runs on. The server is asked for the turn.

import { call, path } from "./net/api.js";
import { isInFlight } from "./state/chat.js";
import { hasOpenChildren } from "./state/family.js";
import { change, state } from "./state/store.js";

const MOST = 20; // of the turns that have ended, how many are asked for at once: the latest

const asked = new WeakSet(); // turns that were asked for after their end

export async function lookAt(chat, turn) {
  const { ok, data } = await call("GET", path(chat.session, "turns", turn.id));
  if (ok) change(() => chat.onTurnRead(turn, data));
}

const runsOn = ({ status, record }) => status === "unresponsive" && !record?.ended_late;

// Now and then: the turn in flight, and the last one that was given up, until it has ended after all.
export function look() {
  const { chat } = state;
  for (const turn of [chat.current, chat.items.findLast(runsOn)]) {
    if (turn?.epoch) lookAt(chat, turn);
  }
}

// Turns that have ended, if their children had not, as far as is known.
export function lookAtEnded() {
  const { chat } = state;
  const isToBeAsked = (turn) => !isInFlight(turn) && !asked.has(turn) && hasOpenChildren(turn);
  for (const turn of chat.items.filter(isToBeAsked).slice(-MOST)) {
    asked.add(turn);
    lookAt(chat, turn);
  }
}
