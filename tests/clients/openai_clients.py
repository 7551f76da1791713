"""OpenAI's clients for Python and for Node, which a test drives alike.

``client.call("responses.inputItems.list", "resp_1", limit=2)`` calls that method of either, by the name that
it has in Node; what it returns or reports is JSON. What the one for Python reads is held to its types,
strictly: by itself it only assumes them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Any, Protocol

import openai
from openai import BaseModel

from tests.clients.calls import Call, ClientError
from tests.clients.node import Driver, Made, driving


class OpenAIClient(Protocol):
    """A client of one user's."""

    def call(
        self,
        path: str,
        *args: Any,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        hold: int | None = None,
        **params: Any,
    ) -> Call:
        """Begin a call: after ``cut`` events it hangs up, after ``hold`` it reads no further until it may."""
        ...

    async def ask(self, path: str, *args: Any, **params: Any) -> Any:
        """What a method returns; raises `ClientError`."""
        ...


class OpenAIClients(Protocol):
    """Clients of one language."""

    async def client(self, base_url: str, token: str = "none") -> OpenAIClient:
        """A client of the user with that token."""
        ...


# -- Node -------------------------------------------------------------------------------------------------


class _InNode:
    def __init__(self, made: Made) -> None:
        self._made = made

    def call(self, path: str, *args: Any, headers: Mapping[str, str] | None = None, **params: Any) -> Call:
        ways = {name: params.pop(name) for name in ("cut", "hold") if name in params}
        options = {"headers": headers} if headers else {}
        return self._made.call(path, params or None, options, *args, **ways)

    async def ask(self, path: str, *args: Any, **params: Any) -> Any:
        return await self.call(path, *args, **params).result()


class _AllInNode:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def client(self, base_url: str, token: str = "none") -> OpenAIClient:
        return _InNode(await self._driver.make("client", {"baseURL": base_url, "apiKey": token}))


@asynccontextmanager
async def in_node() -> AsyncIterator[OpenAIClients]:
    """Clients for Node, in a process of their own."""
    async with driving("openai.mjs") as driver:
        yield _AllInNode(driver)


# -- Python -----------------------------------------------------------------------------------------------


def strict(given: Any) -> Any:
    """What was read, as JSON, once it has been held to its type."""
    if not isinstance(given, BaseModel):
        return given
    said = given.to_dict(mode="json")
    type(given).model_validate(said)
    return said


def helped(given: BaseModel) -> Any:
    """What a helper has made of what it read, as JSON: its own types are not quite as declared."""
    return given.to_dict(mode="json", warnings=False)


def _in_snake_case(path: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", path)


class _InPython:
    def __init__(self, client: openai.AsyncOpenAI, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks

    def call(
        self,
        path: str,
        *args: Any,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        hold: int | None = None,
        **params: Any,
    ) -> Call:
        go_on = asyncio.Event()
        call = Call(go_on.set, lambda: task.cancel())  # noqa: PLW0108  it comes to be below

        async def perform() -> Any:
            method = attrgetter(_in_snake_case(path))(self._client)
            given = method(*args, **params, **({"extra_headers": headers} if headers else {}))
            async with AsyncExitStack() as stack:
                if asyncio.iscoroutine(given):
                    given = await given
                if hasattr(given, "__aenter__"):
                    given = await stack.enter_async_context(given)
                if not hasattr(given, "__aiter__"):
                    return strict(given)
                # A helper puts together what has come, and hands that out in between and at the end.
                final = getattr(given, "get_final_response", getattr(given, "get_final_completion", None))
                n = 0
                async for each in given:
                    await call.came(helped(each) if final else strict(each))
                    n += 1
                    if n == hold:
                        await go_on.wait()
                    if n == cut:
                        return None
                return helped(await final()) if final else None

        async def run() -> None:
            try:
                await call.returned(await perform())
            except asyncio.CancelledError:
                await call.returned(None)
                raise
            except openai.APIError as error:
                status = error.status_code if isinstance(error, openai.APIStatusError) else None
                await call.raised(ClientError(type(error).__name__, error.message, status, error.code))
            except Exception as error:  # noqa: BLE001  a fault is what the tests are after
                await call.raised(error)

        task = self._tasks.create_task(run())
        return call

    async def ask(self, path: str, *args: Any, **params: Any) -> Any:
        return await self.call(path, *args, **params).result()


class _AllInPython:
    def __init__(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self._stack = stack
        self._tasks = tasks

    async def client(self, base_url: str, token: str = "none") -> OpenAIClient:
        client = openai.AsyncOpenAI(base_url=base_url, api_key=token)
        self._stack.push_async_callback(client.close)
        return _InPython(client, self._tasks)


@asynccontextmanager
async def in_python() -> AsyncIterator[OpenAIClients]:
    """Clients for Python, in this process."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        yield _AllInPython(stack, tasks)
