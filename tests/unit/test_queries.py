"""The loader of queries."""

import pytest

from persistence.postgres.queries import parse, query


def test_a_query_is_what_stands_under_its_name_line() -> None:
    text = "-- About this file.\n\n-- one --\nSELECT 1\nFROM a;\n\n-- two --\n-- why\nSELECT 2;\n"

    assert parse(text) == {"one": "SELECT 1\nFROM a", "two": "-- why\nSELECT 2"}


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="named twice"):
        parse("-- one --\nSELECT 1;\n-- one --\nSELECT 2;\n")


def test_an_unknown_query_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        query("no_such_query")
