from typing import assert_never

import pytest

from turnkeeper.actors.model import records
from turnkeeper.actors.model.word import Word, word


class Colour(Word):
    RED = word("red", "as a rose")
    BLUE = word("blue", "as the sky")


def test_a_word_is_a_text_with_a_meaning() -> None:
    assert Colour.RED == Colour("red") == "red"
    assert (Colour.RED.value, str(Colour.BLUE), f"{Colour.BLUE}") == ("red", "blue", "blue")
    assert type(Colour.RED.value) is str
    assert {Colour("blue"): 1} == {"blue": 1}
    assert [colour.meaning for colour in Colour] == ["as a rose", "as the sky"]


def test_a_word_without_a_meaning_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="Shape: 'round' lacks a meaning"):

        class Shape(Word):
            ROUND = "round"


def test_a_match_over_the_words_can_be_complete() -> None:
    def warm(colour: Colour) -> bool:
        match colour:
            case Colour.RED:
                return True
            case Colour.BLUE:
                return False
            case _:
                assert_never(colour)

    assert [warm(colour) for colour in Colour] == [True, False]


@pytest.mark.parametrize(
    "words", [each for each in vars(records).values() if isinstance(each, type) and issubclass(each, Word)]
)
def test_every_word_of_the_records_says_what_it_means(words: type[Word]) -> None:
    for each in words:
        assert len(each.meaning) > 5, each
        assert not each.meaning.endswith("."), each


def test_a_word_is_found_by_its_text() -> None:
    assert "red" in set(Colour)
    assert {"red": 1}[Colour.RED] == 1
