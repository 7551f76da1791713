"""What the page's state makes of events and answers, step by step, without a server."""

from typing import Any

from tests.web.pages.browser import Page

#: Does to a chat what the steps say: an event, a send, its answer, what is read of a turn, or else a method.
SHOW = """
    const [steps, done] = arguments;
    const at = (name) => import(new URL(`state/${name}.js`, document.baseURI));
    Promise.all([at("chat"), at("words")]).then(([{ Chat }, { againOf, outcomeOf, waitOf }]) => {
      const chat = new Chat("s");
      const found = {};
      for (const [name, ...rest] of steps) {
        if (name === "event") chat.onEvent(...rest);
        else if (name === "sent") chat.items.push({ status: "sending", text: "", marks: [], ...rest[0] });
        else if (name === "answered") {
          const turn = chat.items.find(({ id }) => id === rest[0]);
          chat.onSendAnswered(turn, { ok: true, status: 202, data: rest[1] }, "");
        } else if (name === "read") {
          chat.onTurnRead(chat.items.find(({ id }) => id === rest[0]), rest[1]);
        } else found.missed = chat[name](...rest);
      }
      const told = (turn) => [turn.id, ...outcomeOf(turn, true), againOf(turn)];
      Object.assign(found, {
        shown: chat.shown.map(told),
        waiting: chat.waiting.map((turn) => [turn.id, waitOf(turn.place)]),
        current: chat.current?.id ?? null,
        messages: Object.fromEntries(chat.items.map(({ id, message }) => [id, message])),
        wants: chat.wantsQueue,
      });
      done(found);
    });"""


def shown_after(page: Page, *steps: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = page.driver.execute_async_script(SHOW, steps)  # type: ignore[no-untyped-call]
    return found


def started(task_id: str, epoch: int, message: str = "hello") -> tuple[Any, ...]:
    data = {"task_id": task_id, "agent": "default", "message": message, "attempt": 1}
    return "event", "turn.started", f"{epoch}-0", data


def queued(task_id: str) -> tuple[Any, ...]:
    return "event", "turn.queued", None, {"task_id": task_id, "agent": "default", "status": "queued"}


def place(
    task_id: str, position: int | None = 1, waits_for: str = "session_busy", **more: Any
) -> dict[str, Any]:
    return {"task_id": task_id, "position": position, "waits_for": waits_for, "not_before": None, **more}


def places(*queue: dict[str, Any]) -> tuple[Any, ...]:
    return "event", "turn.places", None, {"queue": list(queue)}


def ended(task_id: str, event_id: str | None, status: str, **more: Any) -> tuple[Any, ...]:
    data = {"task_id": task_id, "agent": "default", "status": status, "started_at": 1.0, **more}
    return "event", f"turn.{status}", event_id, data
