from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.web.audit.tokens import TokenFinder, token


@given(st.lists(st.tuples(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 99_999))), st.data())
def test_tokens_are_found_however_their_text_is_cut(
    tokens: list[tuple[str, int]], data: st.DataObject
) -> None:
    text = "so: " + " ".join(token(*each) for each in tokens)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    found, reader, at = list[tuple[str, int]](), TokenFinder(), 0
    for cut in [*sorted(cuts), len(text)]:
        found += reader.feed(text[at:cut])
        at = cut
    assert found == tokens
