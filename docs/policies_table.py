"""Writes the table of `docs/explanation/policies.md` from the code: ``python docs/policies_table.py``."""

import importlib.util
from pathlib import Path
from types import ModuleType

from turnkeeper.actors.model.policy import STANDARD
from turnkeeper.actors.session.fields import FIELDS, OPEN, Field
from turnkeeper.actors.session.settings import PolicySettings

PAGE = Path(__file__).parent / "explanation" / "policies.md"
BEGIN, END = "<!-- written by docs/policies_table.py -->\n", "<!-- end -->\n"


def _settings_table() -> ModuleType:
    """The script beside this one: what is said of a setting is said of its field."""
    spec = importlib.util.spec_from_file_location("settings_table", PAGE.parent.parent / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _send(field: Field) -> str:
    """What a send may do about a field."""
    if field.host:
        return "-"
    how = "make it less" if field.tighten else "set it"
    called = f", as `{field.member}`" if field.member != field.name else ""
    return f"{how}{called}" if field.name in OPEN else f"{how}{called}, if allowed"


def page(text: str) -> str:
    """The page with its table as it must be."""
    before, _, rest = text.partition(BEGIN)
    settings = _settings_table()
    docs = settings.field_docs(PolicySettings)
    rows = [
        f"| `{name}` | `{_shown(name)}` | {settings.spelled_out(docs[field.setting]).replace('``', '`')} "
        f"| {_send(field)} |"
        for name, field in FIELDS.items()
    ]
    table = "\n".join(["| field | by default | what it says | a send may |", "|---|---|---|---|", *rows])
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"


def _shown(name: str) -> str:
    value = getattr(STANDARD, name)
    return value if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
