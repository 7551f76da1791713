import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from turnkeeper.web.server.access_log import NAME, AccessLog, access_logger


@pytest.fixture
def access() -> Iterator[AccessLog]:
    before = logging.getLogger(NAME).level
    yield AccessLog(access_logger(), "")
    logging.getLogger(NAME).setLevel(before)


def asked(path: str, **match_info: str) -> web.Request:
    return make_mocked_request("GET", path, match_info=match_info)


def logged(access: AccessLog, request: web.BaseRequest, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    access.log(request, web.Response(status=404), 0.01234)
    [record] = caplog.records
    return vars(record)


def test_a_request_is_one_record_without_its_query(
    access: AccessLog, caplog: pytest.LogCaptureFixture
) -> None:
    request = asked("/chat/s1/turns/t1?ticket=secret", log_id="s1", task_id="t1")
    fields = logged(access, request, caplog)
    assert caplog.messages == [f"{request.remote or '-'} GET /chat/s1/turns/t1 404 12.3 ms"]
    assert "secret" not in str(fields)
    assert {name: fields[name] for name in ("session", "turn", "method", "path", "http_status", "ms")} == {
        "session": "s1", "turn": "t1", "method": "GET", "path": "/chat/s1/turns/t1", "http_status": 404,
        "ms": 12.34,
    }  # fmt: skip


def test_it_is_logged_whatever_the_level_of_the_other_records_is(
    access: AccessLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("turnkeeper"), "level", logging.ERROR)
    logged(access, asked("/healthz"), caplog)


def test_no_path_forges_a_line(access: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    fields = logged(access, asked("/chat/s%0A1", log_id="s\n1"), caplog)
    assert "\n" not in caplog.messages[0] + fields["session"] + fields["path"]


def test_what_led_to_no_route_is_of_no_session(access: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    whole: Any = asked("/")
    parts = (whole._message, whole._payload, whole._protocol, whole._payload_writer, whole._task, whole._loop)
    assert "session" not in logged(access, web.BaseRequest(*parts), caplog)
