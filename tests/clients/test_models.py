"""OpenAI's clients list the agents."""

import pytest

from tests.clients.calls import ClientError
from tests.clients.openai_clients import OpenAIClients
from tests.fakes import done
from tests.web.fakes_web import by_token, serving


async def test_the_agents_are_models(openai_clients: OpenAIClients) -> None:
    async with serving({"writer": done, "coder": done}, speaks=["openai"]) as house:
        client = await openai_clients.client(house.url("/v1"))
        listed = client.call("models.list")
        await listed.result()
        assert [model["id"] for model in listed.events] == ["writer", "coder"]
        assert (await client.ask("models.retrieve", "coder"))["object"] == "model"
        with pytest.raises(ClientError, match="there is no model 'poet' here") as raised:
            await client.ask("models.retrieve", "poet")
        assert (raised.value.kind, raised.value.code) == ("NotFoundError", "model_not_found")


async def test_a_key_is_a_token(openai_clients: OpenAIClients) -> None:
    async with serving(done, authenticate=by_token, speaks=["openai"]) as house:
        ada = await openai_clients.client(house.url("/v1"), "ada-token")
        await ada.ask("models.retrieve", "default")
        nobody = await openai_clients.client(house.url("/v1"), "another")
        with pytest.raises(ClientError) as raised:
            await nobody.ask("models.retrieve", "default")
        assert raised.value.kind == "AuthenticationError"
