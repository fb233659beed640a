"""The filter of older ids, as Python makes it and the scripts read it."""

import random
from hashlib import sha1

import pytest

from persistence.older_filter import BLOCK_BYTES, OlderFilter, blocks_for
from persistence.transactions import SEPARATOR

BET = SEPARATOR.join(("games", "b1"))
WIN = SEPARATOR.join(("games", "w1"))
ROUND = SEPARATOR.join(("games", "slots", "r1"))


def fields(count: int, *, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [SEPARATOR.join(("games", f"{dice.getrandbits(64):016x}")) for _ in range(count)]


@pytest.mark.parametrize(
    ("count", "blocks"),
    [(0, 1), (1, 1), (16, 1), (17, 2), (32, 2), (33, 4), (64, 4), (65, 8), (20_000, 2048), (100_000, 8192)],
)
def test_a_filter_has_sixteen_bits_for_each_field_in_a_power_of_two_of_blocks(
    count: int, blocks: int
) -> None:
    assert blocks_for(count) == blocks
    assert blocks * BLOCK_BYTES * 8 >= 16 * count


@pytest.mark.parametrize(
    ("field", "digest", "blocks", "block", "bits"),
    [
        pytest.param(
            BET,
            "416e45d3035387c9beb930e2cb19c09446bfdd09",
            1,
            0,
            [124, 155, 235, 147, 14, 44],
            id="an id, in the only block",
        ),
        pytest.param(
            WIN, "23cfdad0a22e71b097fdf028d5f5f178470b4518", 8, 7, [27, 9, 127, 223, 2, 141], id="an id"
        ),
        pytest.param(
            ROUND,
            "e197380808db2387b474ffa4e411c2957382d518",
            1024,
            434,
            [56, 123, 71, 79, 250, 78],
            id="a round",
        ),
        pytest.param(
            "",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            2048,
            1716,
            [176, 211, 37, 91, 254, 249],
            id="nothing",
        ),
    ],
)
def test_a_field_sets_the_bits_that_its_digest_names(
    field: str, digest: str, blocks: int, block: int, bits: list[int]
) -> None:
    contents = OlderFilter.of([field], blocks).bytes

    assert sha1(field.encode()).hexdigest() == digest
    assert len(contents) == blocks * BLOCK_BYTES
    expected = bytearray(len(contents))
    for bit in bits:
        expected[block * BLOCK_BYTES + bit // 8] |= 1 << bit % 8
    assert contents == expected


def test_whatever_was_added_is_found() -> None:
    added = fields(3000, seed=1)
    older = OlderFilter.of(added[:1500], blocks_for(3000))
    for field in added[1500:]:
        older.add(field)

    assert all(field in older for field in added)
    assert older.bytes == OlderFilter.of(reversed(added), blocks_for(3000)).bytes


def test_a_filter_goes_on_from_its_bytes() -> None:
    stored = OlderFilter.of([BET], 4).bytes

    older = OlderFilter(stored)
    older.add(ROUND)

    assert BET in older
    assert older.bytes == OlderFilter.of([BET, ROUND], 4).bytes


def test_nothing_is_in_an_empty_filter() -> None:
    assert not any(field in OlderFilter.of((), 1) for field in (BET, ROUND, ""))


@pytest.mark.parametrize("count", [16, 1024, 16_384])
def test_of_what_was_not_added_less_than_one_in_a_hundred_is_found_in_a_full_filter(count: int) -> None:
    filters = [
        OlderFilter.of(fields(count, seed=seed), blocks_for(count)) for seed in range(16_384 // count or 1)
    ]
    others = fields(20_000, seed=-1)

    found = sum(field in filters[number % len(filters)] for number, field in enumerate(others))

    assert found / len(others) < 0.01


@pytest.mark.parametrize("contents", [b"", bytes(31), bytes(33)])
def test_bytes_that_are_no_blocks_are_no_filter(contents: bytes) -> None:
    with pytest.raises(ValueError, match="are no filter"):
        OlderFilter(contents)
