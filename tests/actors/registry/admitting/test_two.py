"""Two sessions and their slots: no sequence breaks what must hold, and planted bugs are found."""

from dataclasses import replace
from typing import Any

import pytest

from tests.actors.registry.admitting.two import ALPHABETS, Actor, Alphabet, search
from turnkeeper.actors.model.messages import Granted, ReplyAddress, Stop, TurnEnded
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.registry.admitting.slots import Slots
from turnkeeper.actors.session.effects import Decision, Effect, LeaveSlot
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import Queued, State

To = ReplyAddress | None
#: To their ends they are searched by hand: ``python -m tests.actors.registry.admitting.two``.
MOST = 100


@pytest.mark.parametrize("name", ALPHABETS)
def test_no_sequence_lets_too_many_in_or_leaves_a_slot_or_a_turn_behind(name: str) -> None:
    met = search(ALPHABETS[name], MOST)
    assert met.found is None, str(met)
    assert met.worlds >= MOST


# -- Planted bugs -------------------------------------------------------------------------------------


class Deaf(Actor):
    """Its grants are lost."""

    def tell_if_alive(self, message: Granted) -> bool:
        return True


class Forgetful(Slots):
    """A slot that has been granted is not given back."""

    def leave(self, ticket: Ticket) -> None:
        if self.scheduler.standing(ticket) is not None:
            super().leave(ticket)


class Generous(Slots):
    """What is given back twice counts twice."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.claims: dict[Ticket, Claim] = {}

    def take(self, ticket: Ticket, claim: Claim) -> bool:
        self.claims[ticket] = claim
        return super().take(ticket, claim)

    def leave(self, ticket: Ticket) -> None:
        claim = self.claims.get(ticket)
        if self.scheduler.leave(ticket) is None and claim is not None:
            self.scheduler._ledger.of(claim.user).count_slots(-1)
        if self.asking:
            self.grant()


def without_leaving(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    return tuple([effect for effect in effects if not isinstance(effect, LeaveSlot)])


def forgets_to_withdraw(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    return after, without_leaving(effects) if isinstance(message, Stop) else effects


def keeps_its_slot(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    return after, without_leaving(effects) if isinstance(message, TurnEnded) else effects


def leaves_twice(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    return after, (*effects, *(effect for effect in effects if isinstance(effect, LeaveSlot)))


def believes_late_grants(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Granted) and isinstance(state, Queued) and state.asked is not None:
        message = Granted(state.asked)
    return step(state, message, now, to)


ONE = ALPHABETS["one slot"]


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (replace(ONE, actor_class=Deaf), "a turn waits to which no slot will be granted"),
        (replace(ONE, slots_class=Forgetful), "a slot is held that no session has"),
        (
            replace(ONE, slots_class=Generous, step=leaves_twice),
            "a slot is held that no session has, or is not",
        ),
        (replace(ONE, step=forgets_to_withdraw), "that no session has asked for"),
        (replace(ONE, step=keeps_its_slot), "a slot is held that no session has"),
        (
            replace(ALPHABETS["two agents"], step=believes_late_grants),
            "to which no slot will be granted, or that has one",
        ),
    ],
    ids=["lost grant", "granted slots are kept", "double leave", "withdrawal", "end keeps it", "late grant"],
)
def test_a_planted_bug_is_found(planted: Alphabet, said: str) -> None:
    met = search(planted, 1_000)
    assert met.found is not None
    assert said in met.found[1]
