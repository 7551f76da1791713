"""Writes the table in `docs/reference/settings.md` from the code: ``python docs/settings_table.py``."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from turnkeeper.actors.model.words import (
    CloseOn,
    Durability,
    OnCap,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    Strategy,
    WhoMayStop,
)
from turnkeeper.actors.session.settings import PolicySettings, Settings, WorkSettings
from turnkeeper.web import WebSettings

#: The vocabularies of which a setting is a word.
VOCABULARIES = {
    kind.__name__: kind
    for kind in (Strategy, OnFull, Priority, OnCap, OnDisconnect, OnRestart, WhoMayStop, CloseOn, Durability)
}
PAGE = Path(__file__).parent / "reference" / "settings.md"
HEAD = """# Settings

Each setting is a keyword of `turnkeeper.web.WebSettings`; those about sessions and turns are also keywords of
`turnkeeper.actors.Settings`, for use without HTTP. For `turnkeeper serve` each is also an environment
variable (`TURNKEEPER_CANCEL_GRACE` and so on) and a key of the file that `--config` names
([the command](command.md)); there, `None` is written `none`. Times are in seconds. A value out of range is
refused at the start, with the setting's name, and so is an unknown key in the file. An unknown variable
`TURNKEEPER_...` is reported on stderr. How turns are run can be said of single agents and users, too, in
sections of that file: [set policies](../howto/set-policies.md).

"""


def field_docs(cls: type[Any]) -> dict[str, str]:
    """The string below each field of a class, in one line."""
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


def spelled_out(doc: str) -> str:
    """The text with the words themselves where a setting is a word of a vocabulary."""

    def words(match: re.Match[str]) -> str:
        *others, last = (f"`{word.value}`" for word in VOCABULARIES[match[1]])
        return f"{', '.join(others)} or {last}"

    return re.sub(r"a word of `(\w+)`", words, doc)


def page() -> str:
    """The whole page."""
    docs = (
        field_docs(PolicySettings) | field_docs(WorkSettings) | field_docs(Settings) | field_docs(WebSettings)
    )
    rows = [
        f"| `{field.name}` | `{field.default!r}` | {spelled_out(docs[field.name]).replace('``', '`')} |"
        for field in fields(WebSettings)
    ]
    return HEAD + "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
