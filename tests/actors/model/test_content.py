"""What a message says: made plain, and refused where it says nothing, or too much."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import msgspec
import pydantic
import pytest

from turnkeeper.actors.model import content
from turnkeeper.actors.model.exceptions import InvalidRequest, MessageTooLarge

MIB = 1 << 20
HELLO = {"type": "text", "text": "hello"}


def plain(message: Any, most_text: int = MIB, most_parts: int = 1_000) -> Any:
    return content.plain(message, most_text, most_parts)


class Kind(enum.StrEnum):
    TEXT = "text"


class Url(pydantic.BaseModel):
    url: str


class Model(pydantic.BaseModel):
    type: Kind = Kind.TEXT
    text: str = "hello"


class ImageModel(pydantic.BaseModel):
    type: str = "image_url"
    image_url: Url


@dataclass
class Data:
    text: str = "hello"
    type: str = "text"


@dataclass(slots=True)
class Slotted:
    type: ClassVar[str] = "text"
    text: str = "hello"


class BySlots:
    __slots__ = ("_secret", "never_set", "text", "type")

    def __init__(self) -> None:
        self._secret, self.text, self.type = "secret", "hello", "text"


class Struct(msgspec.Struct):
    text: str = "hello"
    type: str = "text"


class Pair(NamedTuple):
    type: str = "text"
    text: str = "hello"


class OfAClass:
    type = "text"

    def __init__(self) -> None:
        self.text = "hello"
        self._secret = "secret"


class Computed:
    @property
    def text(self) -> str:
        return "hello"


# -- Made plain -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        Model(),
        Data(),
        Slotted(),
        BySlots(),
        Struct(),
        Pair(),
        OfAClass(),
        SimpleNamespace(text="hello"),
        SimpleNamespace(text="hello", type=Kind.TEXT),
        Computed(),
        MappingProxyType(HELLO),
        "hello",
    ],
    ids=lambda part: type(part).__name__,
)
def test_an_object_with_a_text_or_a_text_becomes_a_part(part: Any) -> None:
    (made,) = plain([part])
    assert made == HELLO
    assert type(made) is dict
    assert {type(each) for each in made.values()} == {str}


def test_what_an_object_holds_becomes_plain_too() -> None:
    @dataclass
    class Whole:
        type: str = "image_url"
        image_url: Any = field(default_factory=lambda: SimpleNamespace(url="data:", sizes=[1, 2]))
        raw: bytes = b"x"

    assert plain([Whole(), ImageModel(image_url=Url(url="data:"))]) == [
        {"type": "image_url", "image_url": {"url": "data:", "sizes": [1, 2]}, "raw": "eA=="},
        {"type": "image_url", "image_url": {"url": "data:"}},
    ]


def test_dicts_stay_as_they_are_beside_objects() -> None:
    class Own(dict[str, Any]): ...

    own, odd = Own(HELLO), {"role": "user", "content": object()}
    message = plain([own, Data(), odd])
    assert message == [HELLO, HELLO, odd]
    assert message[0] is own
    assert message[2] is odd


@pytest.mark.parametrize(
    "message", ["hello", [HELLO], [HELLO, {"type": "image"}], {"any": "thing"}, 7, object()]
)
def test_what_is_plain_already_is_handed_on_itself(message: Any) -> None:
    assert plain(message) is message


def test_a_tuple_of_parts_becomes_a_list() -> None:
    assert plain((HELLO, Data())) == [HELLO, HELLO]


class Raising:
    type = "text"

    @property
    def text(self) -> str:
        raise OSError("gone")


class Endless:
    type = "text"

    def __init__(self) -> None:
        self.me = self


class Bare:
    __slots__ = ()


@pytest.mark.parametrize("part", [Raising(), Endless(), SimpleNamespace(text="x", more=Bare())])
def test_an_object_that_cannot_be_read_is_refused(part: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read") as refused:
        plain([part])
    assert refused.value.field == "message"


@pytest.mark.parametrize("part", [7, None, [], [HELLO], object(), SimpleNamespace(text=7), Url(url="x")])
def test_a_part_is_a_dict_or_has_a_type_or_a_text(part: Any) -> None:
    with pytest.raises(InvalidRequest, match="each part of message must be") as refused:
        plain([HELLO, part])
    assert refused.value.field == "message"


# -- Saying nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        None,
        "",
        [],
        (),
        [HELLO | {"text": ""}],
        [HELLO | {"text": ""}, {"text": ""}],
        [HELLO | {"text": "", "cache": True}],
        [Data("")],
        [Model(text="")],
    ],
    ids=str,
)
def test_a_message_that_says_nothing_is_refused(message: Any) -> None:
    with pytest.raises(InvalidRequest, match="a text that is not empty, or another part") as refused:
        plain(message)
    assert refused.value.field == "message"
    assert refused.value.code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "message",
    [
        " ",
        [HELLO | {"text": ""}, HELLO],
        [HELLO | {"text": ""}, {"type": "image"}],
        [{"type": "image", "text": ""}],
        [{"role": "user", "content": "hello"}],
    ],
    ids=str,
)
def test_a_message_that_says_anything_is_taken(message: Any) -> None:
    assert plain(message) is message


@pytest.mark.parametrize(
    ("message", "types"),
    [
        ("hello", ["text"]),
        ([HELLO, {"type": "image"}, {"text": "x"}, {"type": 5}], ["text", "image", "text", 5]),
        ({"type": "image"}, []),
        (7, []),
    ],
    ids=str,
)
def test_a_message_has_the_types_of_its_parts(message: Any, types: list[Any]) -> None:
    assert list(content.types_of(message)) == types


# -- Saying too much --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "as_message", [str, lambda text: [HELLO | {"text": text}], lambda text: [Data(text)]]
)
@pytest.mark.parametrize("letter", ["a", "\u00e4"])
def test_the_text_of_a_message_is_bounded_in_bytes(as_message: Any, letter: str) -> None:
    """G8."""
    fits = letter * (10 // len(letter.encode()))
    plain(as_message(fits), most_text=10)
    with pytest.raises(MessageTooLarge, match="longer than 10 bytes") as refused:
        plain(as_message(fits + "a"), most_text=10)
    assert (refused.value.code, refused.value.field) == ("MESSAGE_TOO_LARGE", "message")


def test_the_texts_of_all_parts_count_together_and_nothing_else_does() -> None:
    """G8."""
    image = {"type": "image_url", "image_url": {"url": "x" * 1_000}}
    plain([HELLO, image, HELLO], most_text=10)
    with pytest.raises(MessageTooLarge):
        plain([HELLO, image, HELLO, {"type": "other", "text": "x"}], most_text=10)


def test_half_of_a_surrogate_pair_counts_too() -> None:
    with pytest.raises(MessageTooLarge):
        plain("\ud800" * 4, most_text=10)


def test_the_parts_of_a_message_are_bounded_in_number() -> None:
    """G8."""
    plain([HELLO] * 3, most_parts=3)
    for message in ([HELLO] * 4, [Data()] * 4, (HELLO,) * 4):
        with pytest.raises(MessageTooLarge, match="more than 3 parts"):
            plain(message, most_parts=3)


def test_the_hosts_own_kind_of_dict_is_not_asked_for_its_text() -> None:
    class Grudging(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise KeyError("not today")

    assert isinstance(Grudging(), Mapping)
    part = Grudging(HELLO)
    assert plain([part]) == [part]


# -- Messages that become one -----------------------------------------------------------------------


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        ("a", "b", [text("a"), text("\n\nb")]),
        ([text("a"), text("b")], [text("c"), text("d")], [text("a"), text("b"), text("\n\nc"), text("d")]),
        ([text("a"), IMAGE], [IMAGE, text("b")], [text("a"), IMAGE, IMAGE, text("\n\nb")]),
        ("a", [text(""), {"text": "b", "id": 7}], [text("a"), text(""), {"text": "\n\nb", "id": 7}]),
        ([IMAGE, text("")], "b", [IMAGE, text(""), text("b")]),
        ("a", [IMAGE], [text("a"), IMAGE]),
    ],
)
def test_the_texts_of_messages_that_become_one_are_a_blank_line_apart(
    first: Any, second: Any, parts: list[Any]
) -> None:
    """Those of one message with several parts stay as they are."""
    before = repr((first, second))
    assert content.joined(first, second, 1_000, 10) == parts
    assert repr((first, second)) == before, "what was sent is left as it was"


def test_messages_become_one_only_as_large_as_one_may_be() -> None:
    """G8: what stands between their texts counts."""
    assert content.joined("a", "b", 4, 2) is not None
    assert content.joined("a", "b", 3, 2) is None
    assert content.joined("a", "b", 4, 1) is None
    assert content.joined("a", {"text": "b"}, 4, 2) is None


def test_the_hosts_own_kind_of_dict_is_not_asked_to_become_one_with_others() -> None:
    class Grudging(dict[str, Any]):
        def __getitem__(self, _: str) -> Any:
            raise KeyError("not today")

        keys = __iter__ = copy = get = __getitem__

    assert content.joined("a", [Grudging(text("b"))], 1_000, 10) == [text("a"), text("\n\nb")]
