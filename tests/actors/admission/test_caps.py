"""How many turns there may be, and how many may wait, as it is at the moment."""

from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.session.settings import Settings


def test_the_caps_begin_as_the_settings_say() -> None:
    caps = Caps.of(
        Settings(
            max_in_flight=2,
            max_in_flight_in_all=3,
            max_of_agent=4,
            max_waiting=5,
            max_waiting_in_all=6,
            lane_aging=7.0,
        )
    )
    assert (caps.of_user("ada", "coder"), caps.in_all, caps.of_agent("coder")) == (2, 3, 4)
    assert (caps.max_waiting, caps.max_waiting_in_all, caps.aging) == (5, 6, 7.0)


def test_without_a_word_an_agent_has_no_cap_of_its_own() -> None:
    assert Caps.of(Settings()).of_agent("coder") is None
