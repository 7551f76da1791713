import re
from pathlib import Path

from turnkeeper.web.command.exit_codes import Exit, Failure
from turnkeeper.web.http.server import FORCED

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "command.md").read_text()


def test_the_page_tells_every_exit_code() -> None:
    told = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert told == {*Exit, FORCED}


def test_a_failure_is_a_text_and_an_exit_code() -> None:
    failure = Failure(Exit.UNKNOWN, "no such session")

    assert (str(failure), failure.exit_code) == ("no such session", 5)
