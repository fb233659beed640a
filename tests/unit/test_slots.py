"""Which slot a key lies in, as the Cluster specification counts."""

import pytest

from persistence.valkey.slots import confirmation_key, hash_tag, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [("123456789", 0x31C3), ("foo", 12182), ("{foo}bar", 12182), ("", 0), ("{foo}:epoch", 12182)],
)
def test_a_slot_is_the_checksum_of_the_hash_tag(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("{w3}:epoch", "w3"),
        ("plain", "plain"),
        ("{}:empty", "{}:empty"),
        ("{open", "{open"),
        ("a{b}c{d}", "b"),
        ("{{x}}y", "{x"),
    ],
)
def test_the_hash_tag_is_what_stands_between_the_first_braces(key: str, tag: str) -> None:
    assert hash_tag(key) == tag


@pytest.mark.parametrize("key", ["{w3}:wallets:p1", "{w15}:epoch", "plain"])
def test_what_confirms_a_batch_lies_in_the_slot_of_its_keys(key: str) -> None:
    assert slot_of(confirmation_key(key)) == slot_of(key)
