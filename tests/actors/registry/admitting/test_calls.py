"""What is asked about slots, and who waits for one."""

import pytest

from tests.fakes import ScriptedAgent, done, opened
from turnkeeper.actors.model.exceptions import ScopeMissing
from turnkeeper.actors.model.messages import GetAdmission, SetAdmission
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import Priority, WaitsFor


async def test_those_who_wait_are_listed_by_when_they_asked_and_each_user_sees_their_own() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1, policy_allow="priority") as registry:
        assert await registry.waiting() == ()
        for number, user in enumerate(("ada", "bob", "ada", "ada")):
            policy = {"priority": "background"} if number == 3 else None
            await registry.send(f"s{number}", "hello", user=user, turn_id=f"t{number}", policy=policy)
        await registry.cancel("s2")
        first, second = await registry.waiting()
        assert (first.session_id, first.owner, first.turn_id, first.agent) == ("s1", "bob", "t1", "default")
        assert (first.priority, second.priority) == (Priority.NORMAL, Priority.BACKGROUND)
        assert first.since <= second.since
        assert second.standing == Standing(WaitsFor.SERVER_CAP, 1, 2)
        assert await registry.waiting(user="ada") == (second,)
        assert await registry.waiting(user="eve") == ()
        assert [each.session_id for each in await registry.active()] == ["s0"]


async def test_only_an_admin_sees_or_changes_how_turns_are_let_in() -> None:
    async with opened(done) as registry:
        for message in (GetAdmission(Asker("ada")), SetAdmission({"max_waiting": 1}, Asker("ada"))):
            with pytest.raises(ScopeMissing):
                await registry.ask(message)
        assert (await registry.admission()).fields["max_waiting"] == 32
