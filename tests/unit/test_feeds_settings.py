"""What `stakehold feed` is told by the environment is checked before anything starts."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from fx.feeds.ecb import DAILY_RATES_URL
from fx.feeds.feed import PairName
from service.cli import main
from service.feeding.feed_settings import FeedKind, FeedSettings
from service.telemetry.trace_settings import TraceSettings

TOKEN = "hunter2"
ECB = {"KIND": "ecb"}
FILE = {"KIND": "static_file", "PATH": "rates.json"}
JSON = {"KIND": "http_json", "URL": f"https://rates.example/latest.json?app_id={TOKEN}"}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own shell gets in."""
    for name in FeedSettings.model_fields:
        monkeypatch.delenv(f"STAKEHOLD_FEED_{name.upper()}", raising=False)
    for name in ("METRICS_LISTEN", "LOG_LEVEL", "LOG_FORMAT"):
        monkeypatch.delenv(f"STAKEHOLD_{name}", raising=False)


def settings_of(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> FeedSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"STAKEHOLD_FEED_{name}", value)
    return FeedSettings()


def test_the_kind_is_all_that_the_central_banks_feed_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, ECB)

    assert settings.kind is FeedKind.ECB
    assert settings.document_url().get_secret_value() == DAILY_RATES_URL
    assert settings.origin() == "www.ecb.europa.eu"
    assert settings.source_name() == "ecb"
    assert settings.wanted_pairs() is None


def test_pairs_are_written_with_strokes_and_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, ECB | {"PAIRS": "EUR/USD, EUR/BRL"})

    assert settings.wanted_pairs() == frozenset({PairName("EUR", "USD"), PairName("EUR", "BRL")})


def test_logs_and_metrics_are_set_as_for_the_other_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAKEHOLD_LOG_LEVEL", "warning")
    monkeypatch.setenv("STAKEHOLD_METRICS_LISTEN", "127.0.0.1:9466")

    settings = settings_of(monkeypatch, ECB)

    assert (settings.log_level, settings.metrics_listen) == ("warning", "127.0.0.1:9466")


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, JSON | {"TOKEN": TOKEN})

    assert TOKEN not in f"{settings!r} {settings} {settings.origin()}"
    assert settings.origin() == "rates.example"


REFUSED = [
    ({}, "STAKEHOLD_FEED_KIND"),
    ({"KIND": "oracle"}, "STAKEHOLD_FEED_KIND"),
    ({"KIND": "static_file"}, "STAKEHOLD_FEED_PATH"),
    ({"KIND": "http_json"}, "STAKEHOLD_FEED_URL"),
    (JSON | {"URL": f"ftp://rates.example/{TOKEN}"}, "STAKEHOLD_FEED_URL"),
    (JSON | {"URL": f"https://rates.example:{TOKEN}/"}, "STAKEHOLD_FEED_URL"),
    (JSON | {"URL": TOKEN}, "STAKEHOLD_FEED_URL"),
    (JSON | {"URL": "http://rates.example/", "TOKEN": TOKEN}, "STAKEHOLD_FEED_URL"),
    (JSON | {"URL": "http://rates.example/", "TOKEN_FILE": "/token"}, "STAKEHOLD_FEED_URL"),
    (JSON | {"TOKEN": TOKEN, "TOKEN_FILE": "/token"}, "STAKEHOLD_FEED_TOKEN_FILE"),
    (JSON | {"TOKEN": f"{TOKEN}\n"}, "STAKEHOLD_FEED_TOKEN"),
    (JSON | {"TOKEN": f"{TOKEN}é"}, "STAKEHOLD_FEED_TOKEN"),
    (ECB | {"PAIRS": ""}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "EURUSD"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "EUR/usd"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "EUR/USD,"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "EUR/EUR"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "EUR/USD/BRL"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"PAIRS": "ABC/DEFG,ABCD/EFG"}, "STAKEHOLD_FEED_PAIRS"),
    (ECB | {"EVERY_S": "0"}, "STAKEHOLD_FEED_EVERY_S"),
    (ECB | {"EVERY_S": "inf"}, "STAKEHOLD_FEED_EVERY_S"),
    (ECB | {"EVERY_S": "nan"}, "STAKEHOLD_FEED_EVERY_S"),
    (ECB | {"TIMEOUT_S": "soon"}, "STAKEHOLD_FEED_TIMEOUT_S"),
    (ECB | {"TARGET": "service"}, "STAKEHOLD_FEED_TARGET"),
    (ECB | {"SOURCE": "The Bank"}, "STAKEHOLD_FEED_SOURCE"),
    (ECB | {"BATCH_RATES": "501"}, "STAKEHOLD_FEED_BATCH_RATES"),
    (ECB | {"BATCH_RATES": "0"}, "STAKEHOLD_FEED_BATCH_RATES"),
    (ECB | {"TIME_UNIT": "h"}, "STAKEHOLD_FEED_TIME_UNIT"),
]


@pytest.mark.parametrize(("variables", "variable"), REFUSED)
def test_what_makes_no_sense_is_refused_with_the_variables_name_and_no_secret(
    variables: dict[str, str], variable: str
) -> None:
    env = {f"STAKEHOLD_FEED_{name}": value for name, value in variables.items()}

    refused = CliRunner().invoke(main, ["feed"], env=env)

    assert refused.exit_code == 2
    assert refused.output.splitlines()[0].startswith(f"{variable}: ")
    assert refused.output.splitlines()[1:] == ["see `stakehold feed --help`"]
    assert TOKEN not in refused.output


def test_a_log_level_is_refused_under_its_own_name() -> None:
    env = {"STAKEHOLD_FEED_KIND": "ecb", "STAKEHOLD_LOG_LEVEL": "loud"}

    assert "STAKEHOLD_LOG_LEVEL: " in CliRunner().invoke(main, ["feed"], env=env).output


def test_settings_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, FILE)

    with pytest.raises(ValidationError):
        settings.path = Path("elsewhere")  # type: ignore[misc]


def test_help_lists_every_variable_with_its_default_and_what_it_is_for() -> None:
    helped = CliRunner().invoke(main, ["feed", "--help"])

    assert helped.exit_code == 0
    listed = re.findall(
        r"^ +(STAKEHOLD_\w+)  \((?:required|default: .*)\)\n +\S.*\.$", helped.output, re.MULTILINE
    )
    assert len(listed) == len(set(listed)) == len(FeedSettings.model_fields) + len(TraceSettings.model_fields)
    assert "STAKEHOLD_FEED_KIND  (required)" in helped.output
    assert "STAKEHOLD_LOG_LEVEL  (default: info)" in helped.output
