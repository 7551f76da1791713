"""What a turn that is to have a slot asks for."""

from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority


def test_one_ask_is_one_ticket_wherever_it_is_kept() -> None:
    first = Ticket(SessionId("s1"), 1)
    assert {first: "first"}[Ticket(SessionId("s1"), 1)] == "first"
    assert len({first, Ticket(SessionId("s1"), 2), Ticket(SessionId("s2"), 1)}) == 3


def test_a_claim_is_the_same_if_user_agent_and_lane_are() -> None:
    claim = Claim("ada", "coder", Priority.NORMAL)
    assert claim == Claim("ada", "coder", Priority.NORMAL)
    for other in (("bob", "coder", Priority.NORMAL), ("ada", "echo", Priority.NORMAL)):
        assert claim != Claim(*other)
    assert claim != Claim("ada", "coder", Priority.BACKGROUND)
