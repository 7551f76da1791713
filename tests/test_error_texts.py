"""An error text that names a parameter names one that the called function has."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes import opened, settle
from turnkeeper.actors import (
    AsyncioRef,
    NotWaiting,
    Receipt,
    SessionRegistry,
    Settings,
    Turn,
    WaitsForItself,
    services,
)
from turnkeeper.actors.testing import cancel_at_every_await
from turnkeeper.web import WebSettings

ROOT = Path(__file__).parent.parent
#: ``name=``, but not within an address, and not as a part of a media type.
NAMED = re.compile(r"(?<![\w.\-?&/])(?<!; )([a-z_]+)=")


def named_in(text: str) -> set[str]:
    """The parameters that a text names."""
    return set(NAMED.findall(text))


def parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


# -- All texts in the code ----------------------------------------------------------------------------


class Advice(NamedTuple):
    """A text that names parameters, and the function it stands in."""

    text: str
    module: str
    function: str
    parameters: set[str]


def texts_of(function: ast.AST) -> Iterator[str]:
    """The texts in a function and not in one within it, without docstrings."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from texts_of(node)


def advice() -> Iterator[Advice]:
    """But for those of the wires, which name the fields of requests."""
    files = (path for room in ("actors", "web") for path in (ROOT / room).rglob("*.py"))
    for path in sorted(path for path in files if "wires" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = node.args
                own = {each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
                yield from (
                    Advice(text, path.stem, node.name, own) for text in texts_of(node) if named_in(text)
                )


#: The functions that a text is for which does not stand in them.
MEANT_FOR: dict[tuple[str, str], list[Callable[..., Any]]] = {
    ("streams", "_close_on"): [SessionRegistry.subscribe],
    ("ref", "_refuse_on_loop"): [AsyncioRef.ask, AsyncioRef.stop],
    ("single_process", "take"): [WebSettings],
    ("fake_turn", "_keep"): [Settings],
    ("sweep", "_is_enough"): [cancel_at_every_await],
}


def test_every_text_names_only_parameters_of_the_function_that_it_is_for() -> None:
    found = list(advice())
    assert {(each.module, each.function) for each in found} >= {*MEANT_FOR, ("calls", "send")}
    for each in found:
        called = [parameters(function) for function in MEANT_FOR.get((each.module, each.function), [])]
        for known in called or [each.parameters]:
            assert named_in(each.text) <= known, each


# -- The texts of whatever would wait for itself --------------------------------------------------------

PUBLIC = [
    function
    for owner in (SessionRegistry, Receipt, services)
    for name, function in inspect.getmembers(owner, inspect.iscoroutinefunction)
    if not name.startswith("_") and function is not services.cancel_active_send_task  # it does not wait there
]
#: What is passed, by the name of the parameter.
GIVEN = {"session_id": "s1", "log_id": "s1", "message": "hello", "turn_id": "t1", "title": "t", "to": "first"}


def call_of(function: Callable[..., Any], registry: SessionRegistry, receipt: Receipt) -> Any:
    """A call about the turn's own session; ``None`` for a function that is about no session."""
    wanted = parameters(function)
    owner = receipt if function.__qualname__.startswith("Receipt.") else registry
    given = {name: value for name, value in GIVEN.items() if name in wanted}
    if owner is registry and not wanted & {"session_id", "log_id"}:
        return None
    return function(owner, **given) if "self" in wanted else function(**given)


async def test_whatever_would_wait_for_its_own_turn_says_so_in_terms_of_what_was_called() -> None:
    texts: dict[str, str] = {}
    wrong: dict[str, set[str]] = {}
    receipts: list[Receipt] = []

    async def agent(turn: Turn) -> None:
        await settle()  # the receipt is there
        for function in PUBLIC:
            call = call_of(function, registry, receipts[0])
            try:
                if call is not None:
                    await call
            except NotWaiting:
                pass  # the turn that runs is not moved, and nothing waits for that
            except WaitsForItself as error:
                texts[function.__name__] = str(error)
                wrong[function.__name__] = named_in(str(error)) - parameters(function)

    async with opened(agent) as registry:
        receipts.append(await registry.send("s1", "hello", turn_id="t1"))
        await receipts[0].result()
    assert set(texts) == {"send", "cancel", "close", "end", "ended", "result", "send_message_to_agent"}
    assert not any(wrong.values()), wrong
    assert all(text.startswith("this turn would wait for its own end") for text in texts.values())
