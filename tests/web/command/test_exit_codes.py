import re
from pathlib import Path
from typing import Any

import pytest

from turnkeeper.web.client.errors import Misconfigured, Refused, Unreachable
from turnkeeper.web.command.exit_codes import CommandFailed, ExitCode, exit_code_of
from turnkeeper.web.server.run import FORCED

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "command.md").read_text()


def test_the_page_lists_every_exit_code() -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert listed == {*ExitCode, FORCED}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed(ExitCode.UNRESPONSIVE, "x"), 6),
        (Misconfigured("x"), 2),
        (Unreachable("x"), 3),
        (Refused(401, "CODE", "x"), 4),
        (Refused(403, "CODE", "x"), 4),
        (Refused(404, "CODE", "x"), 5),
        (Refused(409, "CODE", "x"), 1),
        (Refused(422, "CODE", "x"), 2),
        (Refused(500, "CODE", "x"), 1),
        (Refused(503, "CODE", "x"), 3),
    ],
)
def test_every_failure_has_its_exit_code(error: Any, code: int) -> None:
    assert str(error) == "x"
    assert exit_code_of(error) == code
