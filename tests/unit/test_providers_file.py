"""The providers file is used as a whole or not at all, and says what is wrong without what it says."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from persistence.errors import ProviderNotFound, SetupRefused
from service.providers.book import ProviderBook
from service.providers.metrics import ProviderMetrics
from service.providers.providers_file import ProvidersInvalid, read_providers
from tests.providers_house import (
    ARCADE,
    HUB88,
    SECRET,
    SIGNED,
    UNPUT,
    file_content,
    public_pem,
    rsa_key,
    write_file,
)

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2hunter2hunter2"


def test_a_good_file_is_read(tmp_path: Path) -> None:
    providers = read_providers(write_file(tmp_path))

    assert set(providers) == {HUB88, ARCADE, SIGNED, UNPUT}
    assert providers[HUB88].uses_sessions
    assert SECRET.decode() not in repr(providers)


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    content = file_content()
    change(content["providers"][1])
    return content


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda one: one.update(colour="red"), "colour"),
    (lambda one: one.update(id="Upper"), "id"),
    (lambda one: one.update(id=HUB88), "two providers have one id"),
    (lambda one: one.update(adapter="telepathy"), "adapter"),
    (lambda one: one.update(source_id=""), "source_id"),
    (lambda one: one.update(max_body_bytes=10**9), "max_body_bytes"),
    (lambda one: one.update(options={"x": 1}), "x"),
    (lambda one: one["signature"].pop("timestamp_header"), "timestamp_header"),
    (lambda one: one["signature"].update(algorithm="md5"), "algorithm"),
    (lambda one: one["signature"].update(algorithm="ed25519"), "public keys"),
    (lambda one: one["signature"].update(keys=[]), "keys"),
    (lambda one: one["signature"].update(header="X Signature"), "header"),
    (lambda one: one["signature"].update(header="Authorization"), "passes no header of this name on"),
    (lambda one: one["signature"].update(header="X-A", timestamp_header="cookie"), "timestamp_header"),
    (lambda one: one["signature"]["keys"].append(dict(one["signature"]["keys"][0])), "two keys have one id"),
    (lambda one: one["signature"]["keys"][0].update(secret=PASSWORD), "secret"),
    (lambda one: one["signature"]["keys"][0].update(secret_file="nowhere"), "nowhere"),
    (lambda one: one["signature"]["keys"][0].update(public_key=PASSWORD), "needs one of"),
    (lambda one: one["signature"]["keys"][0].update(not_before="2026-01-02T00:00:00"), "not_before"),
    (
        lambda one: one["signature"]["keys"][0].update(
            not_before="2026-01-02T00:00:00Z", not_after="2026-01-01T00:00:00Z"
        ),
        "ends before it begins",
    ),
]


@pytest.mark.parametrize(("change", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_broken_file_is_told_by_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    with pytest.raises(ProvidersInvalid) as invalid:
        read_providers(write_file(tmp_path, changed(change)))

    assert said in str(invalid.value)
    assert PASSWORD not in str(invalid.value)
    assert SECRET.decode() not in str(invalid.value)


TEXTS = [
    ("id: arcade", f"id: arcade\n  id: {HUB88}", r"line \d+: 'id' stands twice"),
    ("secret_file: arcade.secret", "secret_file: &a arcade.secret\n      id: *a", "aliases are not allowed"),
    (
        "secret_file: arcade.secret",
        "secret_file: arcade.secret\n      not_after: 2026-02-31T00:00:00Z",
        r"line \d+: there is no such value",
    ),
    ("id: arcade", f"id: !!int {PASSWORD}", "there is no such value"),
    ("id: arcade", f"id: !!bool {PASSWORD}", "there is no such value"),
    ("id: arcade", f"id: !!timestamp {PASSWORD}", "there is no such value"),
    ("id: arcade", "id: " + "[" * 5000, "nested too deeply"),
    ("id: arcade", 'id: "\\UFFFFFFFF"', "character that there is not"),
    ("id: arcade", "? [a, b]\n  : 1\n  id: arcade", "is no YAML"),
]


@pytest.mark.parametrize(("good", "broken", "said"), TEXTS)
async def test_a_file_that_can_be_read_in_two_ways_is_told_by_what_is_wrong(
    tmp_path: Path, good: str, broken: str, said: str
) -> None:
    path = write_file(tmp_path)
    assert good in path.read_text()
    path.write_text(path.read_text().replace(good, broken, 1))

    with pytest.raises(SetupRefused, match=said) as refused:
        await ProviderBook(path, ProviderMetrics(CollectorRegistry())).open()
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("text", ["", "providers: [", "- a", "providers: 7", "!!python/object:os.system {}"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text(text)

    with pytest.raises(ProvidersInvalid):
        read_providers(path)


def test_a_short_or_missing_key_is_refused_without_saying_it(tmp_path: Path) -> None:
    path = write_file(tmp_path)
    (tmp_path / "arcade.secret").write_text("hunter2")

    with pytest.raises(ProvidersInvalid) as invalid:
        read_providers(path)
    assert "at least 16 bytes" in str(invalid.value)
    assert "hunter2" not in str(invalid.value)


async def test_a_change_is_used_and_a_broken_one_is_not(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    path = write_file(tmp_path)
    book = ProviderBook(path, ProviderMetrics(registry))
    await book.open()
    first = book.provider(HUB88)

    path.write_text("providers: [")
    await book.refresh()
    assert book.provider(HUB88) is first
    assert registry.get_sample_value("stakehold_providers_file_unusable") == 1
    (tmp_path / "arcade.secret").unlink()
    path.write_text(yaml.safe_dump(file_content()))
    await book.refresh()
    assert book.provider(HUB88) is first

    path.write_text(yaml.safe_dump({"providers": file_content()["providers"][:1]}))
    await book.refresh()
    assert registry.get_sample_value("stakehold_providers_file_unusable") == 0
    with pytest.raises(ProviderNotFound):
        book.provider(ARCADE)


async def test_a_service_does_not_start_with_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text("providers: 7")

    with pytest.raises(SetupRefused, match="STAKEHOLD_PROVIDERS_FILE"):
        await ProviderBook(path, ProviderMetrics(CollectorRegistry())).open()
    await asyncio.sleep(0)


def test_the_examples_of_the_docs_are_good(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    for name in ("2025", "2026"):
        (tmp_path / f"hub88-{name}.pem").write_text(public_pem(rsa_key()))
    path = write_file(tmp_path)

    path.write_text(block)
    assert set(read_providers(path)) == {HUB88, ARCADE}
    path.write_text((ROOT / "examples" / "providers.yaml").read_text(encoding="utf-8"))
    assert set(read_providers(path)) == {ARCADE}
