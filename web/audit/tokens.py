"""The numbered tokens that the model generates, and how they are found again in what readers get. Pure."""

import re

TOKEN = re.compile(r"\[([0-9a-f]{8})-(\d{1,6})\]")


def token(request: str, k: int) -> str:
    """The text of token number ``k``. The request's name is random, so that a server cannot invent one."""
    return f"[{request}-{k}] "


class TokenFinder:
    """Texts -> the numbered tokens in them, however the texts are cut."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[tuple[str, int]]:
        """The tokens, as (request, number), that this text completes."""
        self._rest += text
        found, end = list[tuple[str, int]](), 0
        for match in TOKEN.finditer(self._rest):
            found.append((match[1], int(match[2])))
            end = match.end()
        self._rest = self._rest[end:][-32:]
        return found
