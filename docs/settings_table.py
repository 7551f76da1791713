"""Writes the table in `docs/reference/settings.md` from the code: ``python docs/settings_table.py``."""

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from turnkeeper.actors.session.settings import Settings
from turnkeeper.web import WebSettings

PAGE = Path(__file__).parent / "reference" / "settings.md"
HEAD = """# Settings

Each is a keyword of `turnkeeper.web.WebSettings` (those about sessions and turns also of
`turnkeeper.actors.Settings`, for use without HTTP) and, for `turnkeeper serve`, an environment variable
(`TURNKEEPER_CANCEL_GRACE` and so on) and a key of the file that `--config` names ([the command](command.md));
in these two, `None` is written `none`. Spans are in seconds. A value out of its range is refused at the
start, by name; so is a key of the file that is no setting. A variable `TURNKEEPER_...` that is none is told
on stderr.

"""


def told(cls: type[Any]) -> dict[str, str]:
    """What the string below each field of a class says, in one line."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(string.value.value.split())
        for field, string in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(string, ast.Expr)
        and isinstance(string.value, ast.Constant)
        and isinstance(string.value.value, str)
    }


def page() -> str:
    """The whole page."""
    says = told(Settings) | told(WebSettings)
    rows = [
        f"| `{field.name}` | `{field.default!r}` | {says[field.name].replace('``', '`')} |"
        for field in fields(WebSettings)
    ]
    return HEAD + "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
