"""A driver for each client, as long as a test runs."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.node import IN_NODE, Driver, driving
from tests.clients.openai_clients import OpenAIClients, in_node, in_python


@pytest.fixture(params=["python", pytest.param("node", marks=IN_NODE)])
async def openai_clients(request: pytest.FixtureRequest) -> AsyncIterator[OpenAIClients]:
    """OpenAI's clients for Python and for Node, one after the other."""
    async with in_node() if request.param == "node" else in_python() as clients:
        yield clients


@pytest.fixture
async def openai_node() -> AsyncIterator[Driver]:
    """Makes a ``client``: OpenAI's for Node."""
    async with driving("openai.mjs") as driver:
        yield driver


@pytest.fixture
async def ai_sdk() -> AsyncIterator[Driver]:
    """Makes a ``chat``: the class behind ``useChat``."""
    async with driving("ai_sdk.mjs") as driver:
        yield driver


@pytest.fixture
async def ag_ui() -> AsyncIterator[Driver]:
    """Makes an ``agent``: AG-UI's ``HttpAgent``."""
    async with driving("ag_ui.mjs") as driver:
        yield driver
