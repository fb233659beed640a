"""Page tokens: read back as written, and refused when anything about them is different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import PageTokenInvalid
from persistence.postgres.reading.page_tokens import read_token, write_token

NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6)
SCOPE = ("entries", "anna", "")


@given(NUMBERS)
def test_a_token_is_read_back_as_it_was_written(numbers: list[int]) -> None:
    token = write_token(numbers, SCOPE)

    assert read_token(token, SCOPE, count=len(numbers)) == tuple(numbers)
    assert token.isascii()


@pytest.mark.parametrize(
    "scope", [("entries", "bob", ""), ("statement", "anna", ""), ("entries", "ann", "a"), ("entries", "anna")]
)
def test_a_token_of_another_list_or_filter_is_refused(scope: tuple[str, ...]) -> None:
    token = write_token([1, 2], SCOPE)

    with pytest.raises(PageTokenInvalid):
        read_token(token, scope, count=2)


@given(st.text(max_size=80))
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(PageTokenInvalid):
        read_token(text, SCOPE, count=2)


@given(NUMBERS, st.data())
def test_a_damaged_token_is_refused(numbers: list[int], data: st.DataObject) -> None:
    token = write_token(numbers, SCOPE)
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from([c for c in "ABab09-_=\n" if c != token[position]]))

    with pytest.raises(PageTokenInvalid):
        read_token(token[:position] + other + token[position + 1 :], SCOPE, count=len(numbers))


def test_a_token_with_more_or_fewer_numbers_is_refused() -> None:
    for count in (1, 3):
        with pytest.raises(PageTokenInvalid):
            read_token(write_token([1, 2], SCOPE), SCOPE, count=count)
