// The turns in flight, each with its session: asked for every two seconds while the page is visible.

import { call } from "./api.js";

const EVERY = 2000; // milliseconds

// The handler gets them by their sessions, or null if the server does not answer. Returns a function that asks at once.
export function watchRunning(isWanted, handler) {
  let timer = null;
  let asked = 0;

  async function ask() {
    clearTimeout(timer);
    const mine = (asked += 1);
    if (!document.hidden && isWanted()) {
      const { ok, data } = await call("GET", "chat/active_send_tasks");
      if (mine !== asked) return; // a newer request is on its way
      handler(ok ? data.active_tasks : null);
    }
    timer = setTimeout(ask, EVERY);
  }

  document.addEventListener("visibilitychange", () => document.hidden || ask());
  ask();
  return ask;
}
