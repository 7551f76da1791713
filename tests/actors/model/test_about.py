import logging

import pytest

from tests.turns import head
from turnkeeper.actors.model.about import FIELDS, about
from turnkeeper.actors.model.words import TurnStatus, Verdict


def test_what_does_not_apply_is_not_there() -> None:
    assert about("s1") == {"session": "s1"}
    assert about("s1", head("t1")) == {"session": "s1", "turn": "t1", "user": "ada", "agent": "coder"}


def test_all_fields_can_be_said_and_are_named() -> None:
    all_of_it = about("s1", head(), status=TurnStatus.CANCELLED, verdict=Verdict.CANCELLED, ms=1.23456)
    assert tuple(all_of_it) == FIELDS
    assert all_of_it["ms"] == 1.235


def test_the_name_of_a_user_forges_no_line_wherever_it_is_written() -> None:
    assert about("s1", head(user="ada\nCRITICAL"))["user"] == "ada\\nCRITICAL"


def test_no_field_has_a_name_that_records_use_themselves(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("turnkeeper").warning("x", extra=about("s1", head(), status="x", verdict="y", ms=0.0))
    [record] = caplog.records
    assert (vars(record)["session"], vars(record)["ms"]) == ("s1", 0.0)
