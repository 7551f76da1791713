"""A browser, servers, and the chat page in it."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.web.pages.browser import HOST, SERVE, Page, Server, chromium
from tests.web.pages.page_server import PREFIX


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with Server(*SERVE, TURNKEEPER_CANCEL_GRACE="60") as server:
        yield server


@pytest.fixture(scope="module")
def hosted() -> Iterator[Server]:
    with Server(*HOST) as server:
        yield server


@pytest.fixture
def no_complaints(driver: webdriver.Chrome) -> Iterator[None]:
    """No page may break its own security policy, nor raise; a lost network is not its fault."""
    driver.get_log("browser")  # type: ignore[no-untyped-call]
    yield
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert not [each for each in entries if each["level"] == "SEVERE" and each["source"] != "network"]
    assert not [each for each in entries if "Content Security Policy" in each["message"]]


@pytest.fixture
def page(driver: webdriver.Chrome, served: Server) -> Page:
    return Page(driver, served).open()


@pytest.fixture
def host_page(driver: webdriver.Chrome, hosted: Server) -> Page:
    return Page(driver, hosted, f"{PREFIX[1:]}/").open()
