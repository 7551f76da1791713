"""What was said in a session whose conversation the host keeps."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes import done
from turnkeeper.actors.model.exceptions import HostKeepsMessages, OwnerNotKnown, UnknownSession
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings

SAID = [{"role": "user", "content": str(number)} for number in range(5)]


async def loads(_session: str, _user: str) -> Any:
    return SimpleNamespace(messages=SAID)


def registry(load: Any = loads, owner_of: Any = lambda _session: "ada") -> SessionRegistry:
    return SessionRegistry(done, load_context=load, owner_of=owner_of, settings=Settings(slow_loop=0))


async def test_the_host_says_what_was_said_to_those_who_may_know_also_of_a_session_that_is_not_open() -> None:
    async with registry() as open_one:
        said = await open_one.messages("s1", user="ada")
        assert list(said.messages) == SAID
        page = await open_one.messages("s1", user="ada", before=4, limit=2)
        assert (list(page.messages), page.omitted) == (SAID[2:4], 2)


async def test_another_user_is_answered_as_for_an_unknown_session_and_the_host_is_not_asked_to_load() -> None:
    loaded = []

    async def load(session: str, _user: str) -> Any:
        loaded.append(session)

    async with registry(load) as open_one:
        with pytest.raises(UnknownSession):
            await open_one.messages("s1", user="eve")
    assert not loaded


async def test_without_owner_of_only_a_session_that_is_known_here_is_asked_for() -> None:
    async with registry(owner_of=None) as open_one:
        with pytest.raises(UnknownSession):
            await open_one.messages("s1", user="ada")
        await (await open_one.send("s1", "hello", user="ada")).ended()
        assert list((await open_one.messages("s1", user="ada")).messages) == SAID


@pytest.mark.parametrize("context", [None, SimpleNamespace(), SimpleNamespace(messages=[object()])])
async def test_a_host_that_shows_no_messages_is_another_answer_than_an_unknown_session(context: Any) -> None:
    async def load(_session: str, _user: str) -> Any:
        return context

    async with registry(load) as open_one:
        with pytest.raises(HostKeepsMessages):
            await open_one.messages("s1", user="ada")


async def test_a_host_that_fails_is_said_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def load(_session: str, _user: str) -> Any:
        raise OSError("no database")

    def owner_of(_session: str) -> str:
        raise OSError("no directory")

    async with registry(load) as open_one:
        with pytest.raises(HostKeepsMessages):
            await open_one.messages("s1", user="ada")
    async with registry(owner_of=owner_of) as open_one:
        with pytest.raises(OwnerNotKnown):
            await open_one.messages("s1", user="ada")
    assert "no database" in caplog.text
    assert "no directory" in caplog.text
