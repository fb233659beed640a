"""Each kind of feed, as the settings make it, against a server that speaks its format."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fx.feeds.feed import FeedRate, FeedUnavailable
from service.embedded.ports import LOOPBACK
from service.feeding.feed_settings import FeedKind, FeedSettings, TimeUnit
from service.feeding.opening import open_feed
from tests.rate_servers import RateServer, rate_server, reference_rates

TOKEN = "hunter2"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own shell gets in."""
    for name in FeedSettings.model_fields:
        monkeypatch.delenv(f"STAKEHOLD_FEED_{name.upper()}", raising=False)
    monkeypatch.setenv("NO_PROXY", LOOPBACK)


async def rates_of(server: RateServer, kind: FeedKind, **settings: Any) -> dict[str, str]:
    async with open_feed(FeedSettings(kind=kind, url=SecretStr(server.url), **settings)) as feed:
        assert feed.name == kind
        return mids(await feed.fetch())


def mids(rates: Any) -> dict[str, str]:
    return {str(rate.pair): format(rate.mid, "f") for rate in rates if isinstance(rate, FeedRate)}


async def test_the_central_banks_feed() -> None:
    async with rate_server() as server:
        today = datetime.now(UTC).date()
        server.always(reference_rates(today, {"USD": "1.0842"}), ETag='"v1"')

        assert await rates_of(server, FeedKind.ECB) == {"EUR/USD": "1.0842"}


async def test_a_feed_of_tickers_with_everything_set() -> None:
    async with rate_server() as server:
        tickers = [
            {"symbol": "BTCUSDT", "lastPrice": "97000.10", "closeTime": time.time_ns() // 1_000_000},
            {"symbol": "ETHBTC", "lastPrice": "0.032", "closeTime": 0},
        ]
        server.always(json.dumps(tickers).encode())

        rates = await rates_of(
            server,
            FeedKind.HTTP_JSON,
            pairs="BTC/USDT,EUR/USD",
            price_field="lastPrice",
            time_field="closeTime",
            time_unit=TimeUnit.MILLISECONDS,
            token=SecretStr(TOKEN),
        )

    assert rates == {"BTC/USDT": "97000.10"}
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_token_in_a_file_may_be_changed_and_may_be_missing_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    async with rate_server() as server:
        body = {"base": "USD", "timestamp": time.time_ns() // 10**9, "rates": {"EUR": 0.92}}
        server.always(json.dumps(body).encode())
        settings = FeedSettings(kind=FeedKind.HTTP_JSON, url=SecretStr(server.url), token_file=path)
        async with open_feed(settings) as feed:
            await feed.fetch()
            for broken in ("", "not one token", "caf\u00e9", None):
                path.unlink() if broken is None else path.write_text(broken, encoding="utf-8")
                with pytest.raises(FeedUnavailable, match="token") as failed:
                    await feed.fetch()
                assert not broken or broken not in str(failed.value)
            path.write_text("another")

            assert mids(await feed.fetch()) == {"USD/EUR": "0.92"}

    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {TOKEN}", "Bearer another"]


async def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("base,quote,mid,published_time\nEUR,USD,1.0842,now\n")

    async with open_feed(FeedSettings(kind=FeedKind.STATIC_FILE, path=path)) as feed:
        assert mids(await feed.fetch()) == {"EUR/USD": "1.0842"}
