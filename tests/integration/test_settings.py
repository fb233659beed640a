"""Settings come from the environment, are checked before anything starts, and are told by `settings`."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from service.cli import main
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2"
URLS = {
    "STAKEHOLD_VALKEY_URL": f"redis://:{PASSWORD}@valkey:6379/0",
    "STAKEHOLD_POSTGRES_URL": f"postgresql://u:{PASSWORD}@postgres:5432/stakehold",
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own shell gets in."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STAKEHOLD_{name.upper()}", raising=False)


def settings_of(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> Settings:
    for name, value in (URLS | dict(variables)).items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_two_servers_are_all_that_has_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, {})

    assert settings.valkey_url.get_secret_value() == URLS["STAKEHOLD_VALKEY_URL"]
    assert settings.postgres_url.get_secret_value() == URLS["STAKEHOLD_POSTGRES_URL"]
    assert settings.owner_postgres_url() == URLS["STAKEHOLD_POSTGRES_URL"]
    assert settings.partitions is None


def test_migrations_may_have_an_address_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = "postgresql://owner@postgres/stakehold"

    settings = settings_of(monkeypatch, {"STAKEHOLD_MIGRATION_POSTGRES_URL": owner})

    assert settings.owner_postgres_url() == owner


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARTITIONS", "0"),
        ("PARTITIONS", "4097"),
        ("PARTITIONS", "many"),
        ("PARTITIONS", "1.5"),
        ("DURABILITY", "probably"),
        ("REPLICAS", "0"),
        ("CALL_TIMEOUT_S", "0"),
        ("CALL_TIMEOUT_S", "-1"),
        ("STORE_TIMEOUT_S", "soon"),
        ("MAX_WAITING_CALLS", "0"),
        ("REGISTRY_REFRESH_S", "0"),
        ("SHUTDOWN_GRACE_S", "-1"),
        ("DRAIN_BATCH_RECORDS", "0"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings_of(monkeypatch, {f"STAKEHOLD_{name}": value})

    assert [error["loc"] for error in refused.value.errors()] == [(name.lower(),)]


@pytest.mark.parametrize(
    ("durability", "replicas", "confirming"),
    [("fsync", "2", 0), ("replicated", "2", 2), ("replicated", None, 1)],
)
def test_replicas_confirm_where_the_durability_is_replicated(
    monkeypatch: pytest.MonkeyPatch, durability: str, replicas: str | None, confirming: int
) -> None:
    variables = {"STAKEHOLD_DURABILITY": durability} | ({"STAKEHOLD_REPLICAS": replicas} if replicas else {})

    assert settings_of(monkeypatch, variables).confirming_replicas() == confirming


def test_settings_cannot_be_changed_and_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, {})

    assert PASSWORD not in f"{settings!r} {settings}"
    with pytest.raises(ValidationError):
        settings.listen = "0.0.0.0:1"  # type: ignore[misc]


def test_the_command_lists_every_variable_with_its_default_and_what_it_is_for() -> None:
    listed = CliRunner().invoke(main, ["settings"])

    assert listed.exit_code == 0
    names = re.findall(
        r"^(STAKEHOLD_\w+)  \((?:required|default: .*)\)\n    \S.*\.$", listed.output, re.MULTILINE
    )
    assert names == [f"STAKEHOLD_{name.upper()}" for name in Settings.model_fields]
    assert listed.output.count("(required)") == 2
    assert "STAKEHOLD_LISTEN  (default: 127.0.0.1:50051)" in listed.output


def test_help_names_every_command_with_its_purpose() -> None:
    helped = CliRunner().invoke(main, ["--help"])

    assert helped.exit_code == 0
    for command in ("up", "demo", "serve", "drain", "work", "migrate", "verify", "settings"):
        assert re.search(rf"^  {command} +[A-Z]", helped.output, re.MULTILINE)
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_nothing_but_the_settings_module_reads_the_environment() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("fx", "lua", "persistence", "service")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b|from os import .*environ", path.read_text(encoding="utf-8"))
    }

    assert {path for path in readers if not path.startswith("service/embedded/")} == set()
