"""What a turn is to do, as its message says it. Data.

The agent reads it, and the checker knows by it what a whole reply is.
"""

import re

import msgspec

#: A piece of a reply: of which turn, and its number.
_CHUNK = re.compile(r"([\w-]+)\.(\d+) ")


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn: so many chunks, each after ``pause`` seconds.

    It goes on for ``deaf`` seconds after a cancel, and ``fails`` after its last chunk.
    """

    task: str
    chunks: int
    pause: float = 0.0
    deaf: float = 0.0
    fails: bool = False

    @property
    def text(self) -> str:
        """The message that says it."""
        return msgspec.json.encode(self).decode()

    def chunk(self, number: int) -> str:
        """One piece of the reply; the first has the number 0."""
        return f"{self.task}.{number} "

    @property
    def result(self) -> str:
        """What the turn returns."""
        return f"{self.task} is done"

    @property
    def reply(self) -> str:
        """The whole reply."""
        return "".join(map(self.chunk, range(self.chunks)))


def plan_of(text: str) -> Plan:
    """The plan that a message says. Raises `msgspec.DecodeError`, also a message that is no plan."""
    return msgspec.json.decode(text, type=Plan)


def chunks_of(text: str) -> list[tuple[str, int]]:
    """The chunks that a reply consists of: whose they are, and their numbers."""
    return [(found[1], int(found[2])) for found in _CHUNK.finditer(text)]
