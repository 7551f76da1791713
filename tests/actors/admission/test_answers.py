"""What is answered about how turns are let in, and what an admin says of it anew."""

from typing import Any

import pytest

from turnkeeper.actors.admission.answers import admission, set_admission
from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing, SessionError
from turnkeeper.actors.model.messages import Admission, SetAdmission
from turnkeeper.actors.model.records import HOST, Asker, SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Layer, OnCap, Priority, WaitsFor
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.policy.said import said
from turnkeeper.actors.session.settings import Settings

ROOT = Asker("root", sees_all=True)
#: What the settings say where they say nothing else.
USUAL = {
    "max_in_flight_in_all": 10_000,
    "max_waiting": 32,
    "max_waiting_in_all": 10_000,
    "lane_aging": 30.0,
    "max_in_flight": 32,
    "max_of_agent": None,
    "on_cap": OnCap.REFUSE,
    "priority": Priority.NORMAL,
}


class Place:
    """A server's caps, and the layers of its policies, without the server."""

    def __init__(self, **set_to: Any) -> None:
        settings = Settings(**set_to)
        agents = {"default": said(Layer.AGENT, "default", {}), "coder": said(Layer.AGENT, "coder", CODER)}
        self.layers = Layers(settings, agents, {}, "default")
        self.ledger: Ledger[Any] = Ledger(Bounds.of(settings), Caps.of(settings))
        self.scheduler = Scheduler(self.ledger, self.ledger.caps)

    def set(self, asker: Asker = HOST, /, **fields: Any) -> None:
        set_admission(self.layers, self.ledger, SetAdmission(fields, asker))

    @property
    def now(self) -> Admission:
        return admission(self.layers, self.ledger, self.scheduler, HOST)


CODER: dict[str, Any] = {"cancel_grace": 3, "max_of_agent": 5, "allow": ["priority"]}


def test_by_default_it_is_as_the_settings_say() -> None:
    now = Place().now
    assert (now.fields, now.agents, now.users) == (USUAL, {"default": {}, "coder": {"max_of_agent": 5}}, {})
    assert (now.in_flight, now.of_agents, now.active_users, now.waiting) == (0, {}, 0, {})


def test_what_is_given_changes_and_nothing_else() -> None:
    place = Place()
    place.set(max_in_flight_in_all=20, lane_aging=5, on_cap="wait", max_in_flight=4)
    changed = {"max_in_flight_in_all": 20, "lane_aging": 5.0, "on_cap": OnCap.WAIT, "max_in_flight": 4}
    assert place.now.fields == {**USUAL, **changed}
    assert (place.ledger.caps.in_all, place.ledger.caps.aging) == (20, 5.0)
    assert place.layers.base("default", "ada").policy.max_in_flight == 4
    place.set(max_in_flight=6)
    assert place.now.fields == {**USUAL, **changed, "max_in_flight": 6}


def test_what_is_said_of_one_takes_the_place_of_what_was_said_of_its_caps_and_leaves_the_rest() -> None:
    place = Place()
    place.set(agents={"coder": {"priority": "background"}}, users={"ada": {"max_in_flight": 2}})
    assert place.now.agents["coder"] == {"priority": Priority.BACKGROUND}
    base = place.layers.base("coder", "ada")
    assert (base.policy.max_of_agent, base.policy.max_in_flight, base.policy.cancel_grace) == (None, 2, 3.0)
    assert "priority" in base.may
    place.set(users={"bob": {"priority": "interactive"}})
    assert place.now.users == {"ada": {"max_in_flight": 2}, "bob": {"priority": Priority.INTERACTIVE}}
    place.set(users={"ada": {}})
    assert place.now.users == {"bob": {"priority": Priority.INTERACTIVE}}


def test_what_a_policy_says_beside_stays() -> None:
    place = Place()
    place.layers.say(Layer.DEFAULT, None, {"cancel_grace": 9, "deny": ["strategy"]})
    place.layers.say(Layer.USER, "ada", {"cancel_grace": 1})
    place.set(on_cap="wait", users={"ada": {"max_in_flight": 1}})
    base = place.layers.base("default", "bob")
    assert (base.policy.cancel_grace, base.policy.on_cap) == (9.0, OnCap.WAIT)
    assert "strategy" not in base.may
    place.set(users={"ada": {}})
    assert place.layers.base("default", "ada").policy.cancel_grace == 1.0
    assert place.now.users == {}


def test_what_is_answered_can_be_said_again() -> None:
    place = Place()
    place.set(max_in_flight_in_all=20, users={"ada": {"max_in_flight": 2}})
    before = place.now
    place.set(**before.fields, agents=before.agents, users=before.users)
    assert place.now == before


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"max_in_flight_in_all": 0}, "INVALID_CAP", "max_in_flight_in_all"),
        ({"max_in_flight": -1}, "INVALID_CAP", "max_in_flight"),
        ({"max_waiting": True}, "INVALID_CAP", "max_waiting"),
        ({"max_waiting_in_all": None}, "INVALID_CAP", "max_waiting_in_all"),
        ({"max_of_agent": 0}, "INVALID_CAP", "max_of_agent"),
        ({"priority": "urgent"}, "UNKNOWN_PRIORITY", "priority"),
        ({"on_cap": "hope"}, "INVALID_REQUEST", "on_cap"),
        ({"lane_aging": 0}, "INVALID_REQUEST", "lane_aging"),
        ({"slots": 3}, "INVALID_REQUEST", "slots"),
        ({"cancel_grace": 3}, "INVALID_REQUEST", "cancel_grace"),
        ({"agents": {"coder": {"cancel_grace": 3}}}, "INVALID_REQUEST", "cancel_grace"),
        ({"agents": {"coder": {"max_of_agent": 0}}}, "INVALID_CAP", "max_of_agent"),
        ({"agents": {"nobody": {}}}, "UNKNOWN_AGENT", "agents"),
        ({"agents": ["coder"]}, "INVALID_REQUEST", "agents"),
        ({"users": {"ada": None}}, "INVALID_REQUEST", "caps"),
        ({"users": {1: {}}}, "INVALID_REQUEST", "users"),
        ({"users": {"ada": {"max_of_agent": 1}}}, "INVALID_REQUEST", "max_of_agent"),
        ({"users": {"ada": {"priority": "urgent"}}}, "UNKNOWN_PRIORITY", "priority"),
        ({"users": {name: {"max_in_flight": 1} for name in "abc"}}, "TOO_MANY_POLICIES", None),
    ],
)
def test_what_is_wrong_is_refused_by_its_code_and_nothing_has_changed(
    fields: dict[str, Any], code: str, field: str | None
) -> None:
    place = Place(max_user_policies=2)
    place.set(users={"eve": {"max_in_flight": 7}})
    before = place.now
    right = {"max_in_flight_in_all": 3, "max_waiting": 3, "on_cap": "wait", "agents": {"coder": {}}}
    with pytest.raises(SessionError) as caught:
        place.set(**{**right, **fields})
    assert (caught.value.code, getattr(caught.value, "field", None)) == (code, field)
    assert place.now == before


def test_a_refusal_says_about_whom_it_is() -> None:
    with pytest.raises(InvalidRequest, match="user 'ada': max_in_flight must be a whole number from 1"):
        Place().set(users={"ada": {"max_in_flight": 0}})
    with pytest.raises(InvalidRequest, match="admission must be a mapping"):
        set_admission(Place().layers, Place().ledger, SetAdmission(3))  # type: ignore[arg-type]


def test_only_an_admin_asks_or_says() -> None:
    place = Place()
    with pytest.raises(ScopeMissing):
        place.set(Asker("ada"), max_in_flight=1)
    with pytest.raises(ScopeMissing):
        admission(place.layers, place.ledger, place.scheduler, Asker("ada"))
    assert place.now.fields == USUAL
    place.set(ROOT, max_in_flight=1)
    assert admission(place.layers, place.ledger, place.scheduler, ROOT).fields["max_in_flight"] == 1


def test_it_says_how_many_are_in_flight_and_wait_and_what_the_share_of_each_is() -> None:
    place = Place(max_in_flight_in_all=3)
    claims = [
        Claim("ada", "coder", Priority.NORMAL),
        Claim("ada", "coder", Priority.NORMAL),
        Claim("bob", "default", Priority.NORMAL),
        Claim("bob", "default", Priority.BACKGROUND),
        Claim("eve", "coder", Priority.INTERACTIVE),
    ]
    for number, claim in enumerate(claims):
        ticket = Ticket(SessionId(f"s{number}"), 1)
        if not place.scheduler.take(ticket, claim):
            place.scheduler.ask(ticket, claim, 0.0)
    now = place.now
    assert (now.in_flight, now.of_agents, now.active_users) == (3, {"default": 1, "coder": 2}, 3)
    assert now.share == 1.0
    assert now.waiting == {
        (Priority.BACKGROUND, WaitsFor.SERVER_CAP): 1,
        (Priority.INTERACTIVE, WaitsFor.SERVER_CAP): 1,
    }
