import re
from importlib import resources
from pathlib import Path

import pytest
from aiohttp import web

from tests.fakes import done
from tests.web.fakes_web import running
from turnkeeper.web import REGISTRY, setup
from turnkeeper.web.pages.assets import CONTENT_TYPES, add_pages

PAGES = Path(str(resources.files("turnkeeper.web.pages")))
FILES = {
    file.relative_to(PAGES).as_posix(): file.read_text(encoding="utf-8")
    for file in PAGES.rglob("*")
    if file.is_file() and file.suffix not in (".py", ".pyc")
}


def mounted(prefix: str) -> web.Application:
    app = web.Application()
    setup(app, done, prefix=prefix, pages=True)
    return app


@pytest.fixture
def at_the_root() -> web.Application:
    return mounted("")


@pytest.fixture
def below() -> web.Application:
    return mounted("/deep/ai")


@pytest.mark.parametrize("prefix", ["", "/deep/ai"])
async def test_every_file_of_the_page_is_served_beside_it_as_what_it_is(
    prefix: str, at_the_root: web.Application, below: web.Application
) -> None:
    app = below if prefix else at_the_root
    async with running(app, app[REGISTRY], prefix=prefix) as house:
        for name, text in FILES.items():
            answer = await house.get("/" if name == "index.html" else f"/{name}")
            assert answer.status == 200
            assert answer.text == text
            assert (
                answer.headers["Content-Type"] == f"{CONTENT_TYPES[name[name.rfind('.') :]]}; charset=utf-8"
            )
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_every_file_has_a_known_type() -> None:
    assert FILES
    assert {name[name.rfind(".") :] for name in FILES} <= set(CONTENT_TYPES)


async def test_the_page_may_load_and_ask_nothing_but_its_own_server(at_the_root: web.Application) -> None:
    async with running(at_the_root, at_the_root[REGISTRY]) as house:
        policy = (await house.get("/")).headers["Content-Security-Policy"]

    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}


def test_the_page_names_nothing_of_anybody_elses() -> None:
    for name, text in FILES.items():
        assert not re.findall(r"""(?:src|href|url\(|import)\s*[=(]?\s*["']?(?:https?:)?//""", text), name


async def test_a_prefix_without_its_slash_leads_to_the_page(below: web.Application) -> None:
    house_of = running(below, below[REGISTRY])
    async with house_of as house, house.client.get(house.url("/deep/ai")) as answer:
        assert answer.status == 200
        assert answer.url.path == "/deep/ai/"


def test_the_files_are_read_when_they_are_mounted_and_not_later() -> None:
    app = web.Application()
    add_pages(app, "")

    assert len({route.resource for route in app.router.routes()}) == len(FILES)
