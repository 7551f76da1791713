"""The document of a small table, member by member; that of our routes is in tests/web/http/test_docs.py."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from turnkeeper.actors.model.word import Word, word
from turnkeeper.web.openapi.document import document
from turnkeeper.web.openapi.operation import Answer, Operation, Parameter, Where, Who


class Colour(Word):
    """A colour."""

    RED = word("red", "as a rose")
    BLUE = word("blue", "as the sky")


class Paint(Struct, forbid_unknown_fields=True):
    colour: Colour
    litres: Annotated[float, Meta(gt=0)] = 1.0


class Painted(Struct, kw_only=True):
    """What was painted."""

    status: Annotated[Literal["ok"], Meta(examples=["ok"])] = "ok"
    colour: Annotated[Colour, Meta(examples=[Colour.BLUE])]
    by: Annotated[str | None, Meta(examples=["ada"])]
    note: str | UnsetType = UNSET


class Trouble(Struct):
    title: str
    status: int
    detail: str
    code: str
    field: str | UnsetType = UNSET


@dataclass(frozen=True)
class Refused:
    value: str
    status: int
    meaning: str
    status_text: str = "No"


REFUSED = (
    Refused("WET", 409, "it is wet"),
    Refused("BAD", 422, "it is bad"),
    Refused("UGLY", 422, "it is ugly"),
)
WALL = Parameter("wall", Where.PATH, Annotated[str, Meta(examples=["north"])], "Which wall.")
DRY = Parameter("dry", Where.QUERY, bool, "Wait until it is dry.")
PAINT = Operation(
    method="POST",
    path="/walls/{wall}",
    tag="walls",
    summary="Paint a wall",
    about="With one colour.",
    parameters=(WALL, DRY),
    body=Paint,
    examples={"red": {"colour": "red"}},
    answers={201: Answer(Painted, "It is painted.", headers={"Location": "The wall."})},
    refusals=REFUSED,
)
LOOK = Operation(
    method="GET",
    path="/walls/{wall}",
    tag="walls",
    summary="Look",
    who=Who.ANYONE,
    answers={200: Answer(str, "It.")},
)
TOKEN: dict[str, Any] = {"bearer": {"type": "http", "scheme": "bearer"}}


def made(*operations: Operation, security: dict[str, Any] = TOKEN) -> Any:
    """The document as a client reads it."""
    data = document(
        operations,
        info={"title": "walls", "version": "1"},
        tags={"walls": "All walls."},
        problem=Trouble,
        words={"Colour": Colour},
        security=security,
    )
    return msgspec.json.decode(msgspec.json.encode(data))


def test_the_document_says_what_it_is_and_where_the_server_is() -> None:
    data = made(PAINT, LOOK)

    assert data["openapi"].startswith("3.1")
    assert data["info"] == {"title": "walls", "version": "1"}
    assert data["servers"] == [{"url": "."}]
    assert data["tags"] == [{"name": "walls", "description": "All walls."}]
    assert list(data["paths"]) == ["/walls/{wall}"]
    assert list(data["paths"]["/walls/{wall}"]) == ["post", "get"]


def test_an_operation_says_what_it_does_and_what_it_takes() -> None:
    post = made(PAINT)["paths"]["/walls/{wall}"]["post"]

    assert (post["operationId"], post["summary"], post["tags"]) == (
        "post_walls_wall",
        "Paint a wall",
        ["walls"],
    )
    wall, dry = post["parameters"]
    assert wall["required"] is True
    assert (wall["in"], wall["example"], wall["schema"]["type"]) == ("path", "north", "string")
    assert (dry["in"], dry["schema"]) == ("query", {"type": "boolean"})
    assert "required" not in dry
    content = post["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Paint"}
    assert content["examples"] == {"red": {"value": {"colour": "red"}}}


def test_an_answer_has_its_schema_and_an_example_of_it() -> None:
    data = made(PAINT)

    answer = data["paths"]["/walls/{wall}"]["post"]["responses"]["201"]
    assert answer["description"] == "It is painted."
    assert answer["headers"]["Location"]["description"] == "The wall."
    example = answer["content"]["application/json"]["example"]
    assert example == {"status": "ok", "colour": "blue", "by": "ada"}
    assert msgspec.convert(example, Painted).colour is Colour.BLUE


def test_an_answer_always_has_what_has_a_default_and_a_body_need_not() -> None:
    schemas = made(PAINT)["components"]["schemas"]

    assert sorted(schemas["Painted"]["required"]) == ["by", "colour", "status"]
    assert schemas["Paint"]["required"] == ["colour"]


def test_the_words_say_what_they_mean() -> None:
    colour = made(PAINT)["components"]["schemas"]["Colour"]

    assert sorted(colour["enum"]) == ["blue", "red"]
    assert colour["type"] == "string"
    assert colour["description"] == "A colour.\n\n* `red`: as a rose\n* `blue`: as the sky"


def test_refusals_stand_together_by_their_status() -> None:
    responses = made(PAINT)["paths"]["/walls/{wall}"]["post"]["responses"]

    assert list(responses) == ["201", "409", "422"]
    refused = responses["422"]
    assert refused["description"] == "* `BAD`: it is bad\n* `UGLY`: it is ugly"
    content = refused["content"]["application/problem+json"]
    assert content["schema"]["allOf"][1] == {"properties": {"code": {"enum": ["BAD", "UGLY"]}}}
    assert content["examples"]["BAD"]["value"] == {
        "title": "No",
        "status": 422,
        "detail": "it is bad",
        "code": "BAD",
    }


@pytest.mark.parametrize(
    ("who", "ways"),
    [
        (Who.ANYONE, []),
        (Who.VISITORS, []),
        (Who.USERS, [{"bearer": []}]),
        (Who.TICKETS, [{"bearer": []}, {"ticket": []}]),
        (Who.SCRAPERS, [{"bearer": []}]),
    ],
)
def test_who_may_ask_is_documented_as_security_requirements(who: Who, ways: Any) -> None:
    look = Operation(method="GET", path="/x", tag="walls", summary="s", who=who, answers=LOOK.answers)

    data = made(look)
    assert data["paths"]["/x"]["get"]["security"] == ways
    assert set(data["components"]["securitySchemes"]) == {"bearer", "ticket"}
    without = made(look, security={})
    assert without["paths"]["/x"]["get"]["security"] == []
    assert "securitySchemes" not in without["components"]
