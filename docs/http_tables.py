"""Writes the tables in `docs/reference/http.md` from the code: ``python docs/http_tables.py``.

A table stands between ``<!-- NAME -->`` and ``<!-- end -->``; what stands around it is written by hand.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from msgspec import Meta

from turnkeeper.actors.events.event import EventName
from turnkeeper.actors.events.shown import ElidedPart
from turnkeeper.actors.events.wire import StandingData, TurnData
from turnkeeper.actors.model import exceptions
from turnkeeper.actors.model.ids import RESERVED_IDS
from turnkeeper.actors.model.word import Word
from turnkeeper.actors.model.words import (
    CancelCode,
    CloseOn,
    Layer,
    MoveTo,
    OnCap,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    SessionState,
    Step,
    Strategy,
    StreamEnd,
    TurnStatus,
    Verdict,
    WaitsFor,
    WhoMayStop,
    is_final,
)
from turnkeeper.web.http import codec
from turnkeeper.web.http.body import AdmissionBody, CancelManyBody, SendBody
from turnkeeper.web.http.problems import Code
from turnkeeper.web.http.routes import OF_ALL, OF_BODIES, OF_PARAMETERS, OF_USERS, ROUTES, TAGS, Route
from turnkeeper.web.openapi.operation import Who

PAGE = Path(__file__).parent / "reference" / "http.md"
BLOCK = re.compile(r"<!-- ([\w-]+) -->\n.*?<!-- end -->\n", re.DOTALL)
#: Refused on every route of that kind, and not repeated at each.
USUAL = {*OF_ALL, *OF_USERS, *OF_PARAMETERS, *OF_BODIES}
WHO = {
    Who.ANYONE: "anyone",
    Who.VISITORS: "anyone, but a server without tokens answers this machine only",
    Who.USERS: "users",
    Who.TICKETS: "users, and holders of a ticket",
    Who.SCRAPERS: "tokens with the role `metrics`, and admins",
}


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A table with these columns."""
    columns = head.split(" | ")
    lines = [" | ".join(columns), "|".join(["---"] * len(columns)), *(" | ".join(row) for row in rows)]
    rule = lines.pop(1)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def words(kind: type[Word], head: str) -> str:
    """A table of the words of an enum."""
    return table(f"{head} | what it means", ([f"`{word}`", word.meaning] for word in kind))


def members(kind: type[Any]) -> str:
    """A table of the members of a body, an answer or an event's data."""
    hints = get_type_hints(kind, include_extras=True)
    rows = ([f"`{name}`", meaning(f"{kind.__name__}.{name}", hint)] for name, hint in hints.items())
    return table("member | what it is", rows)


def meaning(name: str, hint: Any) -> str:
    """What an annotated type says of itself."""
    found = [each.description for each in walk(hint) if isinstance(each, Meta) and each.description]
    assert found, f"{name} lacks a description in its msgspec.Meta"
    return str(found[0]).rstrip(".")


def walk(hint: Any) -> Iterator[Any]:
    """All that a type is made of."""
    yield hint
    for each in get_args(hint):
        yield from walk(each)


def routes() -> str:
    """All routes, group by group."""
    ordered = sorted(ROUTES, key=lambda route: list(TAGS).index(route.tag))
    return table(
        "route | what it does | who may", ([route_of(each), each.summary, WHO[each.who]] for each in ordered)
    )


def route_of(route: Route) -> str:
    """A route, by its method and path."""
    return f"`{route.method} {route.path}`"


def parameters() -> str:
    """All query parameters and headers, with the routes that read them."""
    found = {each.name: each for route in ROUTES for each in route.parameters}
    return table(
        "parameter | of | what it says",
        (
            [
                f"`{name}`{' (header)' if each.where == 'header' else ''}",
                ", ".join(route_of(route) for route in ROUTES if each in route.parameters),
                each.meaning.rstrip("."),
            ]
            for name, each in found.items()
            if each.where != "path"
        ),
    )


def cancels() -> str:
    """What a cancel of one turn is answered with."""
    status = {Verdict.REQUESTED: 202, Verdict.NOT_RUNNING: 404}
    rows = ([verdict, codec.cancel_words(verdict), status.get(verdict, 200)] for verdict in Verdict)
    return table(
        "verdict | what it means | code | `status` | `message`",
        (
            [f"`{verdict}`", verdict.meaning, str(code), f"`{said[0]}`", f"`{said[1]}`"]
            for verdict, said, code in rows
        ),
    )


def queue_turn() -> str:
    """What a turn that waits has in the queue beside what every turn has."""
    hints = get_type_hints(codec.WaitingTurn, include_extras=True)
    own = [name for name in hints if name not in get_type_hints(TurnData)]
    rows = ([f"`{name}`", meaning(f"WaitingTurn.{name}", hints[name])] for name in own)
    return table("member | what it is", rows)


def ends() -> str:
    """The texts of `close`."""
    rows = ([f"`{end}`", end.meaning, "yes" if is_final(end) else "no"] for end in StreamEnd)
    return table("text | when | final", rows)


def failures() -> str:
    """The codes of a failed turn's error."""
    own = {
        "agent_error": "the agent raised; `type` names the class of the exception",
        "spontaneous_cancel": "the coroutine raised CancelledError, and nothing had cancelled it",
    }
    # An agent may bring errors of its own.
    every = exceptions.AgentError.__subclasses__()
    kinds = [kind for kind in every if kind.__module__ == exceptions.__name__]
    ours = {kind.code.lower(): summary(kind) for kind in kinds}
    return table(
        "`error.code` | what it means", ([f"`{code}`", text] for code, text in {**own, **ours}.items())
    )


def summary(kind: type[Any]) -> str:
    """The first sentence of a class's docstring."""
    text = " ".join((kind.__doc__ or "").split()).replace("``", "`")
    return text[0].lower() + text[1:].rstrip(".")


def codes() -> str:
    """All codes of refusals, by status."""
    return table(
        "status | `code` | what it means", ([str(code.status), f"`{code}`", code.meaning] for code in Code)
    )


def refusals() -> str:
    """What each route may refuse with beside the usual."""
    rows = (
        [route_of(route), ", ".join(f"`{code}`" for code in route.refusals if code not in USUAL)]
        for route in ROUTES
    )
    return table("route | `code`", (row for row in rows if row[1]))


BLOCKS: dict[str, Callable[[], str]] = {
    "reserved": lambda: ", ".join(f"`{each}`" for each in sorted(RESERVED_IDS)),
    "routes": routes,
    "parameters": parameters,
    "send-body": lambda: members(SendBody),
    "send-answer": lambda: members(codec.SendAnswer),
    "strategies": lambda: words(Strategy, "`multitask_strategy`"),
    "waits": lambda: words(WaitsFor, "`waits_for`"),
    "standing": lambda: members(StandingData),
    "layers": lambda: words(Layer, "`layer`"),
    "decided": lambda: members(codec.DecidedField),
    "held": lambda: members(codec.HeldField),
    "on-full": lambda: words(OnFull, "`on_full`"),
    "on-cap": lambda: words(OnCap, "`on_cap`"),
    "priorities": lambda: words(Priority, "`priority`"),
    "on-disconnect": lambda: words(OnDisconnect, "`on_disconnect`"),
    "on-restart": lambda: words(OnRestart, "`on_restart`"),
    "who-may-stop": lambda: words(WhoMayStop, "`who_may_stop`"),
    "cancels": cancels,
    "admission-body": lambda: members(AdmissionBody),
    "admission-now": lambda: members(codec.AdmissionNow),
    "cancel-many-body": lambda: members(CancelManyBody),
    "cancel-many-answer": lambda: members(codec.CancelManyAnswer),
    "stopped": lambda: members(codec.StoppedTask),
    "active": lambda: members(codec.ActiveTask),
    "listed-session": lambda: members(codec.ListedSession),
    "listed": lambda: members(codec.ListedTask),
    "waiting": lambda: members(codec.WaitingTask),
    "queue-turn": queue_turn,
    "moves": lambda: words(MoveTo, "`move`"),
    "session": lambda: members(codec.SessionAnswer),
    "states": lambda: words(SessionState, "`state`"),
    "turn": lambda: members(TurnData),
    "statuses": lambda: words(TurnStatus, "`status`"),
    "reasons": lambda: words(CancelCode, "`reason.code`"),
    "failures": failures,
    "steps": lambda: words(Step, "`step`"),
    "moment": lambda: members(codec.Moment),
    "messages": lambda: members(codec.MessagesAnswer),
    "elided": lambda: members(ElidedPart),
    "events": lambda: words(EventName, "event"),
    "ends": ends,
    "close-on": lambda: words(CloseOn, "`close_on`"),
    "codes": codes,
    "refusals": refusals,
}


def page(text: str) -> str:
    """The page with its tables as they must be."""
    missing = set(BLOCKS) - set(BLOCK.findall(text))
    assert not missing, f"{PAGE.name} lacks <!-- {missing} -->"
    return BLOCK.sub(lambda block: f"<!-- {block[1]} -->\n\n{BLOCKS[block[1]]()}\n\n<!-- end -->\n", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
