"""The page at /docs, in a browser, under its own security policy."""

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.pages.browser import CHROMIUM, DRIVER, MISSING, PATIENCE, SERVE, Server, chromium
from turnkeeper.web.http.routes import ROUTES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason=MISSING),
]


@pytest.fixture
def driver() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(*SERVE) as serving:
        yield serving


def test_every_route_is_shown_and_can_be_tried(driver: webdriver.Chrome, server: Server) -> None:
    wait = WebDriverWait(driver, PATIENCE)
    driver.get(f"{server.address}docs")
    wait.until(lambda _: len(driver.find_elements(By.CSS_SELECTOR, ".opblock")) == len(ROUTES))

    health = driver.find_element(By.CSS_SELECTOR, "#operations-health-get_healthz")
    health.find_element(By.CSS_SELECTOR, ".opblock-summary button").click()
    for button in (".try-out__btn", "button.execute"):
        wait.until(lambda _, button=button: health.find_elements(By.CSS_SELECTOR, button))[0].click()
    shown = wait.until(lambda _: health.find_elements(By.CSS_SELECTOR, ".live-responses-table .microlight"))

    assert '"incarnation"' in shown[0].text
    assert f"{server.address}healthz" in health.text
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert not [each for each in entries if each["level"] == "SEVERE"]
    assert not [each for each in entries if "Content Security Policy" in each["message"]]
