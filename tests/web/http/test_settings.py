import math
from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web import WebSettings
from turnkeeper.web.http.settings import addresses, header_names, origins


def test_the_defaults_are_those_of_the_design() -> None:
    settings = WebSettings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.heartbeat == 15.0
    assert settings.max_body == 16 * 1024 * 1024
    assert settings.ticket_ttl == 60.0
    assert settings.cancel_grace == 5.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("heartbeat", "write_timeout", "retry", "ticket_ttl", "header_timeout",
                                     "body_timeout", "keep_alive")
          for value in (0, -1, math.nan, math.inf, True, "1", None, 604_801)),
        *(("port", value) for value in (-1, 65_536, 1.5, True, "8000", None)),
        *(("max_body", value) for value in (0, -1, 1.5, True, None)),
        *((name, 0) for name in ("max_uploads", "max_uploads_in_all", "body_values")),
        *((name, value) for name in ("max_connections", "connections_per_peer")
          for value in (0, -1, 1.5, True)),
        *(("allow_origin", value) for value in
          (None, 1, "null", "example.com", "https://", "ftp://a.b", "https://a.b/", "https://a.b/c", "https://u@a.b",
           "https://a.b:443", "http://a.b:80", "https://*.a.b", "https://a.b:x", "https://a.b https://c.d")),
        ("allow_credentials", "yes"),
        *(("trusted_proxies", value) for value in (None, 1, "localhost", "10.0.0.1 10.0.0.2")),
        *((name, value) for name in ("session_headers", "task_headers")
          for value in (None, 1, "X-Session:", "X Session", "X-Session; X-Chat", "X-Sitzung-Nö")),
        *(("host", value) for value in ("", None, 1)),
        ("cancel_grace", -1),
        ("multitask_strategy", "wait"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        WebSettings(**{name: value})

    assert refused.value.field == name
    assert name in str(refused.value)


def test_every_setting_can_be_given_in_the_environment() -> None:
    settings = WebSettings.from_environment(
        {
            "TURNKEEPER_HOST": "::1",
            "TURNKEEPER_PORT": "0",
            "TURNKEEPER_HEARTBEAT": "2.5",
            "TURNKEEPER_CANCEL_GRACE": "1",
            "TURNKEEPER_MAX_BODY": "1000",
            "TURNKEEPER_TURN_TIMEOUT": "none",
            "TURNKEEPER_TOKENS": "ada:secret",
            "HOME": "/",
        }
    )

    assert (settings.host, settings.port, settings.heartbeat) == ("::1", 0, 2.5)
    assert (settings.cancel_grace, settings.max_body, settings.turn_timeout) == (1.0, 1000, None)


def test_origins_are_as_browsers_write_them_however_they_are_spelled() -> None:
    assert origins(" https://Chat.Example.com,http://localhost:3000 ,http://[::1]:8080,", "x") == {
        "https://chat.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
    }
    assert origins("*", "x") == {"*"}
    assert origins(WebSettings().allow_origin, "x") == frozenset()


def test_not_every_origin_there_is_may_send_cookies() -> None:
    WebSettings(allow_origin="https://a.b", allow_credentials=True)
    with pytest.raises(InvalidRequest, match="allow_origin must name the origins"):
        WebSettings(allow_origin="https://a.b,*", allow_credentials=True)


def test_trusted_proxies_are_addresses_however_they_are_spelled() -> None:
    assert addresses(" 10.0.0.1,::0001 ,", "trusted_proxies") == {"10.0.0.1", "::1"}
    assert addresses(WebSettings().trusted_proxies, "trusted_proxies") == frozenset()


def test_what_is_given_by_hand_stands_above_the_environment() -> None:
    settings = WebSettings.from_environment(
        {"TURNKEEPER_PORT": "1", "TURNKEEPER_HOST": "::1"}, port=2, host=None
    )

    assert (settings.port, settings.host) == (2, "::1")


@pytest.mark.parametrize(
    ("name", "text"), [("PORT", "eighty"), ("PORT", "1.5"), ("HEARTBEAT", ""), ("CANCEL_GRACE", "soon")]
)
def test_a_variable_that_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"TURNKEEPER_{name}"):
        WebSettings.from_environment({f"TURNKEEPER_{name}": text})


@pytest.mark.parametrize(("name", "text"), [("PORT", "70000"), ("HEARTBEAT", "0"), ("CANCEL_GRACE", "nan")])
def test_a_variable_out_of_its_range_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=name.lower()):
        WebSettings.from_environment({f"TURNKEEPER_{name}": text})


def test_headers_are_named_in_their_order() -> None:
    assert header_names(" X-Session,X-Chat-Id ,", "session_headers") == ("X-Session", "X-Chat-Id")
    assert header_names("", "session_headers") == ()
