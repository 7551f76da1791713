import time
from email.utils import formatdate

import pytest

from turnkeeper.web.agents import upstream_errors
from turnkeeper.web.agents.upstream_errors import UpstreamError, of_status, retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("0.5", 0.5), ("0", 0.0), ("99999999", 86_400.0), ("9" * 400, 86_400.0),
     ("-1", None), ("soon", None), ("", None), (".", None), ("1.2.3", None), ("\u0663", None),
     ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0), ("Thu, 99 Jan 1970 00:00:10 GMT", None)],
)  # fmt: skip
def test_retry_after_is_a_number_of_seconds(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_retry_after_may_be_a_date() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert wait is not None
    assert 50 < wait <= 60


def test_an_upstream_need_not_say_when_to_ask_again() -> None:
    assert retry_after({}) is None


def test_an_error_says_the_status_and_when_to_ask_again() -> None:
    error = of_status(429, {"retry-after": "3"})
    assert (error.code, error.status, error.retry_after) == ("UPSTREAM_RATE_LIMITED", 429, 3.0)
    assert str(error).endswith("(HTTP 429)")


def errors() -> list[type[UpstreamError]]:
    found = [each for each in vars(upstream_errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, UpstreamError)]


def test_every_error_has_a_code_and_words_of_its_own() -> None:
    kinds = errors()
    assert len({each.code for each in kinds}) == len({each.says for each in kinds}) == len(kinds) > 8
    assert all(each.code.startswith("UPSTREAM_") and str(each()) == each.says for each in kinds)
