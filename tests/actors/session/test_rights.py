"""Who may stop a turn."""

import pytest

from tests.turns import spec
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.words import WhoMayStop
from turnkeeper.actors.session.rights import may_stop


@pytest.mark.parametrize(
    ("who", "may"),
    [(WhoMayStop.OWNER, {"ada", None}), (WhoMayStop.SENDER, {"root", None})],
)
def test_a_turn_is_stopped_by_whom_its_policy_names_and_by_those_who_may_stop_all(
    who: WhoMayStop, may: set[str | None]
) -> None:
    turn = spec(user="root", own_policy=Policy(who_may_stop=who))
    assert {asker for asker in ("ada", "root", "bob", None) if may_stop(turn, "ada", asker)} == may
