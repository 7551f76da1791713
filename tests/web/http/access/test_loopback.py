from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.web.fakes_web import asking, serving
from turnkeeper.web import Principal
from turnkeeper.web.http.access.cors import Cors
from turnkeeper.web.http.access.loopback import LocalOnly, is_loopback
from turnkeeper.web.http.problems import Problem

local_only = LocalOnly(Cors())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "localhost.", "::ffff:127.0.0.1"]
)
def test_this_machine_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.example.com",
     "2130706433", "127.1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_others_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:1", "127.0.0.1", "[::1]", "[::1]:8000", "LocalHost:8000"],
)
def test_everyone_on_this_machine_is_local_and_may_everything(host: str) -> None:
    assert local_only(asking(Host=host)) == Principal("local", frozenset({"chat", "admin"}), bounded=False)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "10.0.0.1:8000", "localhost.evil.example", "[::2]:8000", "[::1", "",
     "]", "localhost@evil.example", "0.0.0.0:8000", "evil@localhost:8000", "@127.0.0.1"],
)  # fmt: skip
def test_a_foreign_host_is_refused(host: str) -> None:
    assert refused_as(asking(Host=host)) == "FOREIGN_HOST"


def test_no_host_at_all_is_refused() -> None:
    assert refused_as(asking()) == "FOREIGN_HOST"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8000", "http://localhost", "",
     "http://[", "file://", "localhost:8000", "http://localhost:8000.evil.example"],
)  # fmt: skip
def test_a_page_from_elsewhere_is_refused(origin: str) -> None:
    assert refused_as(asking(Host="localhost:8000", Origin=origin)) == "FOREIGN_ORIGIN"


def test_a_link_from_elsewhere_is_refused() -> None:
    assert refused_as(asking(Host="localhost:8000", Sec_Fetch_Site="cross-site")) == "FOREIGN_ORIGIN"


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Anything", "X-Real-IP", "Via"]
)
def test_a_proxy_on_this_machine_is_refused_for_anyone_may_be_behind_it(header: str) -> None:
    request = make_mocked_request("GET", "/", {"Host": "localhost", header: "127.0.0.1"})

    with pytest.raises(Problem) as refused:
        local_only(request)
    assert refused.value.code == "FORWARDED"


def test_a_page_on_another_port_of_this_machine_is_refused_though_it_names_no_origin() -> None:
    assert refused_as(asking(Host="localhost:8000", Sec_Fetch_Site="same-site")) == "FOREIGN_ORIGIN"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_servers_own_pages_may_ask(site: str) -> None:
    own = asking(Host="localhost:8000", Origin="http://localhost:8000", Sec_Fetch_Site=site)

    assert local_only(own).user == "local"


@pytest.mark.parametrize(
    "peer", [("10.0.0.7", 1), ("192.168.1.2", 1), ("fe80::1", 1, 0, 0), ("::ffff:10.0.0.7", 1, 0, 0)]
)
def test_another_machine_is_refused_whatever_host_it_claims_to_ask(peer: Any) -> None:
    assert refused_as(asking(peer=peer, Host="localhost:8000")) == "FOREIGN_PEER"


@pytest.mark.parametrize(
    "peer", [("127.0.0.1", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0), "", None]
)
def test_this_machine_may_ask_over_any_loopback_or_a_unix_socket(peer: Any) -> None:
    assert local_only(asking(peer=peer, Host="localhost:8000")).user == "local"


def refused_as(asked: web.Request) -> str:
    with pytest.raises(Problem) as refused:
        local_only(asked)
    assert refused.value.status == 403
    return refused.value.code


async def test_a_mount_without_authenticate_serves_this_machine_only() -> None:
    async with serving() as house:
        assert (await house.get("/chat/active_send_tasks")).status == 200
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await house.post("/chat/s/send", json=[{"type": "text", "text": "x"}], headers=headers)
            assert answer.status == 403
            assert answer.code in ("FOREIGN_HOST", "FOREIGN_ORIGIN")
            assert (await house.get("/chat/s/events", headers=headers)).status == 403
        assert (await house.registry.counts()).sessions == 0
