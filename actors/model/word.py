"""Words of the vocabulary that go over the wire, each with its meaning."""

from enum import StrEnum
from typing import Self


class _Meant(str):
    __slots__ = ("meaning",)
    meaning: str


def word(text: str, meaning: str) -> str:
    """A member of a `Word`, with what it means."""
    meant = _Meant(text)
    meant.meaning = meaning
    return meant


class Word(StrEnum):
    """An enum whose members say what they mean: ``NAME = word("text", "what it means")``.

    The docs and the OpenAPI document are made from the meanings; a member without one raises `TypeError`
    where it is defined.
    """

    meaning: str
    #: A word equals its text, so it has its hash. Enum's own is another one, and a call in Python.
    __hash__ = str.__hash__

    def __new__(cls, text: str) -> Self:
        """The word, with its meaning beside it."""
        if not isinstance(text, _Meant):
            raise TypeError(f'{cls.__name__}: {text!r} lacks a meaning: word({text!r}, "what it means")')
        member = str.__new__(cls, text)
        member._value_ = str(text)
        member.meaning = text.meaning
        return member
