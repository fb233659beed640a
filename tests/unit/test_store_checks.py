"""Which settings of the store are fit for money, and how an unfit one is told."""

import pytest

from persistence.errors import SetupRefused, StoreUnsafe
from persistence.valkey.store_checks import CHECKED_SETTINGS, advice, check_store

SAFE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}


def refusal(version: str, settings: dict[str, str]) -> str:
    with pytest.raises(StoreUnsafe) as caught:
        check_store(version, settings)
    return str(caught.value)


@pytest.mark.parametrize("version", ["7.0.0", "7.2.4", "7.4.2", "8.0.1", "9.1.2", "10.0.0", "255.255.255"])
def test_a_store_that_syncs_every_write_and_evicts_nothing_is_safe(version: str) -> None:
    check_store(version, SAFE)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-policy", "allkeys-lfu"),
        ("maxmemory-policy", "volatile-ttl"),
        ("maxmemory-policy", "volatile-random"),
    ],
)
def test_an_unsafe_setting_is_told_with_what_to_set_it_to(name: str, found: str) -> None:
    said = refusal("7.2.4", SAFE | {name: found})

    assert f'set {name} to "{SAFE[name]}" (it is "{found}")' in said
    assert said.count("set ") == 1


@pytest.mark.parametrize("version", ["6.2.14", "6.0.16", "5.0.7", "2.8.0"])
def test_an_old_store_is_told_which_is_new_enough(version: str) -> None:
    said = refusal(version, SAFE)

    assert f"it is version {version}" in said
    assert "7.0" in said


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = refusal("6.2.0", {"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-lru"})

    assert "version 6.2.0" in said
    for name in SAFE:
        assert name in said


@pytest.mark.parametrize("name", SAFE)
def test_a_setting_that_cannot_be_read_is_not_taken_on_trust(name: str) -> None:
    said = refusal("7.2.4", {key: value for key, value in SAFE.items() if key != name})

    assert f"CONFIG GET {name} is not allowed" in said


def test_each_setting_that_makes_a_store_safe_is_asked_for() -> None:
    assert set(CHECKED_SETTINGS) == set(SAFE)


def test_an_unsafe_store_keeps_the_service_from_starting() -> None:
    assert issubclass(StoreUnsafe, SetupRefused)


@pytest.mark.parametrize(("found", "replicas"), [("0", 1), ("1", 2)])
def test_a_store_that_takes_what_its_replicas_cannot_confirm_is_advised_not_to(
    found: str, replicas: int
) -> None:
    said = advice({"min-replicas-to-write": found}, replicas)

    assert f'set min-replicas-to-write to "{replicas}" (it is "{found}")' in said


@pytest.mark.parametrize(("found", "replicas"), [("1", 1), ("2", 1)])
def test_a_store_that_refuses_what_its_replicas_cannot_confirm_needs_no_advice(
    found: str, replicas: int
) -> None:
    assert advice({"min-replicas-to-write": found}, replicas) == ""
