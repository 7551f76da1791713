"""The agents, as models."""

from tests.fakes import done
from tests.web.fakes_web import by_token, serving

AGENTS = {"coder": done, "default": done}


async def test_the_agents_are_the_models_the_default_one_first() -> None:
    async with serving(AGENTS, speaks=["openai"]) as house:
        answer = await house.get("/v1/models")
        assert answer.status == 200
        assert answer.body["object"] == "list"
        assert [each["id"] for each in answer.body["data"]] == ["default", "coder"]
        assert (await house.get("/v1/models/coder")).body == {
            "id": "coder",
            "object": "model",
            "created": 0,
            "owned_by": "turnkeeper",
        }


async def test_an_unknown_model_is_refused_as_that_api_does() -> None:
    async with serving(AGENTS, speaks=["openai"]) as house:
        answer = await house.get("/v1/models/gpt")
        assert (answer.status, answer.body["error"]["code"]) == (404, "model_not_found")


async def test_it_asks_who_asks() -> None:
    async with serving(AGENTS, speaks=["openai"], authenticate=by_token) as house:
        answer = await house.get("/v1/models")
        assert (answer.status, answer.body["error"]["code"]) == (401, "invalid_api_key")
