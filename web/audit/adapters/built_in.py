"""The adapters that come along: each is a TOML file beside this one."""

from pathlib import Path

from .adapter import Adapter
from .from_toml import read_adapter

#: turnkeeper's own.
OURS = "turnkeeper"
#: What ``{model}`` stands for, if nothing else is said: turnkeeper's agent that needs no name.
MODEL = "default"
_FILES = Path(__file__).parent
#: The names of those that come along.
NAMES = tuple(sorted(file.stem for file in _FILES.glob("*.toml")))


def built_in(name: str, model: str = MODEL) -> Adapter:
    """The adapter with that name, which is one of `NAMES`. Blocks."""
    return read_adapter((_FILES / f"{name}.toml").read_text(encoding="utf-8"), model)
