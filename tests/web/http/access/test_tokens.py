import hmac
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.web.fakes_web import asking
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web import Principal, Tokens
from turnkeeper.web.http.access import tokens as tokens_module
from turnkeeper.web.http.access.tokens import read_tokens


def bearer(text: str) -> web.Request:
    return asking(Authorization=text)


def test_a_token_is_presented_as_it_was_given_or_by_its_secret_alone() -> None:
    tokens = Tokens(["ada:s3cret", "root:t0p:admin"])

    for presented in ("s3cret", "ada:s3cret"):
        assert tokens(bearer(f"Bearer {presented}")) == Principal("ada")
    for presented in ("t0p", "root:t0p", "root:t0p:admin"):
        assert tokens(bearer(f"Bearer {presented}")) == Principal("root", frozenset({"chat", "admin"}))


def test_a_token_may_be_for_the_figures_alone() -> None:
    found = Tokens(["prometheus:s3cret:metrics"])(bearer("Bearer s3cret"))
    assert found == Principal("prometheus", frozenset({"metrics"}))


def test_the_scheme_is_bearer_in_any_case() -> None:
    assert Tokens(["ada:s3cret"])(bearer("bEARER s3cret")) == Principal("ada")


@pytest.mark.parametrize(
    "header",
    ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cretx", "Bearer ada", "Bearer ada:",
     "Bearer bob:s3cret", "Bearer S3CRET", "Basic s3cret", "Bearer s3cret s3cret", "Bearer ada:s3cret:admin",
     "Bearer \udcff\udcfe", "Bearer " + "x" * 8000],
)  # fmt: skip
def test_any_other_header_names_no_user(header: str) -> None:
    asked = make_mocked_request("GET", "/")
    object.__setattr__(asked, "_headers", {"Authorization": header})

    assert Tokens(["ada:s3cret"])(asked) is None


def test_a_request_without_a_header_names_no_user() -> None:
    assert Tokens(["ada:s3cret"])(asking()) is None


def test_a_secret_need_not_be_ascii() -> None:
    asked = make_mocked_request("GET", "/")
    object.__setattr__(asked, "_headers", {"Authorization": "Bearer grüße"})

    assert Tokens(["ada:grüße"])(asked) == Principal("ada")


@pytest.mark.parametrize(
    "token",
    ["", "ada", "ada:", ":s3cret", ":", "ada:s3cret:", "ada:s3cret:root", "ada:s3cret:admin:x", "ada: s3cret",
     "ada:s3\tcret", "ada:s3cret\n", "a da:s3cret"],
)  # fmt: skip
def test_a_token_of_another_form_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Tokens([token])

    assert refused.value.field == "token"
    assert "s3cret" not in str(refused.value)


def test_one_secret_is_one_persons() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Tokens(["ada:s3cret", "bob:s3cret"])

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("presented", ["one", "two", "three", "nothing", ""])
def test_every_token_is_compared_in_constant_time_whichever_fits(
    presented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare_digest(secret: bytes, given: bytes) -> bool:
        compared.append(secret)
        return hmac.compare_digest(secret, given)

    monkeypatch.setattr(tokens_module, "hmac", SimpleNamespace(compare_digest=compare_digest))
    tokens = Tokens(["a:one", "b:two", "c:three"])

    tokens(bearer(f"Bearer {presented}"))

    assert {b"one", b"two", b"three"} <= set(compared)
    assert len(compared) == 9


def test_tokens_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may\n\nada:s3cret\n  root:t0p:admin  \n  # not bob:x\n")

    assert read_tokens(str(file)) == ["ada:s3cret", "root:t0p:admin"]


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(InvalidRequest, match=path.name) as refused:
            read_tokens(str(path))
        assert refused.value.field == "token_file"
        assert "Errno" not in str(refused.value)
