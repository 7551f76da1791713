"""A headless Chromium, the chat page in it, and servers in processes of their own."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.pages.page_server import HALT

T = TypeVar("T")

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "no Chromium with its driver: apt-get install chromium chromium-driver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,800",
    "--force-prefers-reduced-motion",  # painting what pulses takes a core
    # Each page would be loaded by a process of its own, beside one in reserve: a third of all the work.
    "--process-per-site",
    "--renderer-process-limit=1",
    "--disable-features=SpareRendererForSitePerProcess,Translate,OptimizationHints,MediaRouter",
)
#: The marks of tests that drive it.
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING),
    pytest.mark.leaves_behind("sockets", why="selenium keeps its connection to the driver open"),
    pytest.mark.usefixtures("no_complaints"),
]
#: A turn that runs until it may go on, or is stopped.
LONG = f"w0 w1 {HALT} w2 w3"
BEGUN = f"^w0 w1 {HALT} $"
#: The server of a host's own, and ``turnkeeper serve``.
HOST = (str(Path(__file__).with_name("page_server.py")),)
SERVE = (*HOST, "serve", "--port", "0")


@contextmanager
def chromium(*more: str) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, and a log of what its pages complain about; ``more`` are flags."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (*FLAGS, *more, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


class Server:
    """A server in a process of its own. What it prints first ends with its address."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self._arguments: Sequence[str] = arguments
        self._environ = {**os.environ, **environ}
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it; again on the port it had, if it was there before."""
        port = re.search(r":(\d+)/$", self.address)
        arguments = [*self._arguments, "--port", port[1]] if port else self._arguments
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environ,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"the server said {line!r}"
        self.address = found[0]

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """What the server answers to a client other than the page."""
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)


class Page:
    """The chat page in one tab, in a reader's words."""

    def __init__(self, driver: webdriver.Chrome, server: Server, under: str = "") -> None:
        self.driver = driver
        self.server = server
        self.under = under
        self.session = ""

    def open(self, session: str | None = None, *, connected: bool = True) -> Self:
        """Load the page anew with a session, a fresh one if it is not said which."""
        self.session = session or secrets.token_hex(6)
        self.driver.get("about:blank")
        self.driver.get(f"{self.server.address}{self.under}#{self.session}")
        if connected:
            self.wait_for_connection("Connected")
        return self

    def reload(self) -> None:
        self.driver.refresh()
        self.wait_for_connection("Connected")

    def element(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of these elements without their buttons, in one look, as they stand in the document."""
        script = """
            const text = (element) => {
              const copy = element.cloneNode(true);
              copy.querySelectorAll("button").forEach((button) => button.remove());
              return element.hidden ? "" : copy.textContent;
            };
            return [...document.querySelectorAll(arguments[0])].map(text);"""
        found: list[str] = self.driver.execute_script(script, selector)  # type: ignore[no-untyped-call]
        return found

    @property
    def messages(self) -> list[str]:
        return self.texts(".turn .message")

    @property
    def replies(self) -> list[str]:
        return self.texts(".turn .reply")

    @property
    def outcomes(self) -> list[str]:
        return self.texts(".turn .outcome")

    @property
    def notes(self) -> list[str]:
        return self.texts(".note")

    @property
    def sessions(self) -> list[str]:
        """The titles in the list of sessions."""
        return self.texts("#sessions .title")

    @property
    def standings(self) -> list[str]:
        """What the list says of each session."""
        return self.texts("#sessions .standing")

    def forget_all(self) -> None:
        """Leave no session in the server's list, nor in the browser's."""
        while sessions := self.server.ask("GET", f"{self.under}chat")["sessions"]:
            for each in sessions:
                self.server.ask("DELETE", f"{self.under}chat/{each['log_id']}")
        self.driver.execute_script("localStorage.clear()")  # type: ignore[no-untyped-call]

    def choose(self, title: str) -> None:
        """Open the session whose title begins so."""
        links = self.driver.find_elements(By.CSS_SELECTOR, "#sessions a")
        next(each for each in links if each.text.startswith(title)).click()

    @contextmanager
    def screen(self, width: int, height: int) -> Iterator[None]:
        """A phone's screen, for a while."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    @property
    def connection(self) -> str:
        return self.texts("#connection")[0]

    @property
    def can_stop(self) -> bool:
        return self.element("#stop").is_enabled()

    def say(self, text: str) -> None:
        """Send it, and wait until the page has drawn that: what it shows then is not as it was before."""
        self.element("#message").send_keys(text, Keys.ENTER)
        self.driver.execute_async_script("requestAnimationFrame(arguments[0])")  # type: ignore[no-untyped-call]

    def send(self, body: Any, token: str | None = None) -> Any:
        """A send by another client, to the session this page shows."""
        return self.server.ask("POST", f"{self.under}chat/{self.session}/send", body, token)

    def go_on(self, session: str | None = None) -> None:
        """Let the echo of a session, of this one by default, speak on where it has stopped."""
        body = {"message": session or self.session, "agent": "go_on"}
        self.server.ask("POST", f"{self.under}chat/conductor/send", body)

    def watch(self) -> None:
        """Note every outcome shown from now on, for however short a time, and if Stop could be pressed."""
        script = """
            window.watched = [];
            const look = () => watched.push([
              [...document.querySelectorAll(".turn .outcome")].at(-1)?.firstChild?.textContent ?? "",
              !document.getElementById("stop").disabled,
            ]);
            const all = { subtree: true, childList: true, characterData: true, attributes: true };
            new MutationObserver(look).observe(document.body, all);"""
        self.driver.execute_script(script)  # type: ignore[no-untyped-call]

    @property
    def watched(self) -> set[tuple[str, bool]]:
        """What `watch` has seen: outcomes of the last turn, each with whether Stop could be pressed."""
        return {(each[0], each[1]) for each in self.driver.execute_script("return watched")}  # type: ignore[no-untyped-call]

    def wait(self, true: Callable[[], T], why: str) -> T:
        def look(_: webdriver.Chrome) -> T:
            return true()

        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.04)
        try:
            found: T = wait.until(look)
        except TimeoutException:
            seen = f"{self.replies[-1:]} {self.outcomes[-1:]} {self.connection}"
            raise AssertionError(f"not so: {why}; it shows {seen}") from None
        return found

    def wait_to_show(self, **shown: list[str]) -> None:
        """Until these are as they are given: ``messages``, ``replies``, ``outcomes``, ``notes`` and so on.

        A page just loaded shows what the server has kept of the conversation, and what the events
        say of it, in either order: one thing that it shows does not follow from another.
        """
        why = f"it shows {shown}"
        self.wait(lambda: all(getattr(self, name) == texts for name, texts in shown.items()), why)

    def wait_for_connection(self, text: str) -> None:
        self.wait(lambda: self.connection == text, f"the connection is {text}")

    def wait_for_reply(self, pattern: str) -> str:
        """The last turn's reply, once it fits."""
        self.wait(lambda: re.search(pattern, "".join(self.replies[-1:])), f"the reply is {pattern}")
        return self.replies[-1]

    def wait_for_outcome(self, pattern: str, turn: int = -1) -> str:
        def fits() -> Any:
            outcomes = self.outcomes
            return outcomes and re.search(pattern, outcomes[turn])

        self.wait(fits, f"the outcome is {pattern}")
        return self.outcomes[turn]

    def wait_for_rest(self, reply: str) -> None:
        """Until the last turn has ended well with this reply."""
        why = f"all of {reply[:30]!r} is there"
        self.wait(lambda: self.replies[-1:] == [reply] and not self.can_stop, why)

    def wait_for_note(self, pattern: str) -> None:
        self.wait(lambda: any(re.search(pattern, note) for note in self.notes), f"a note says {pattern}")
