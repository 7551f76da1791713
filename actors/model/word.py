"""Words of the vocabulary that go over the wire, each with its meaning."""

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """An enum whose members say what they mean: ``NAME = "word", "what it means"``.

    The docs and the OpenAPI document are made from the meanings; a member without one raises `TypeError`
    where it is defined.
    """

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """The word, with its meaning beside it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member
