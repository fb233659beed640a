"""Alerts about rates, seen firing while they were stale, held and beyond their peg."""

from pathlib import Path

from tests.alerts.watching import watched
from tests.fx_api import fx_api, now_ms
from tests.serving import Grounds


async def test_a_rate_that_is_too_old(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path, registry_refresh_s=0.1) as server, fx_api(server.address) as fx:
        pair = await fx.pair(stale_after_s=2)
        label = f"{pair.base}/{pair.quote}"
        await pair.accepted("1.1", now_ms() + 2000)
        await server.until_above(0, "stakehold_fx_rate_usable", pair=label)
        await server.is_well()

        await server.until_above(2, "stakehold_fx_rate_age_seconds", pair=label)

        await server.require_fires("StakeholdFxStale")


async def test_a_rate_that_jumps(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path, registry_refresh_s=0.1) as server, fx_api(server.address) as fx:
        pair = await fx.pair()
        await pair.accepted("1.1", now_ms() - 2000)
        await server.until_above(0, "stakehold_fx_rate_usable", pair=f"{pair.base}/{pair.quote}")
        await server.is_well()

        await pair.held("1.5")

        await server.until_above(0, "stakehold_fx_rate_held", pair=f"{pair.base}/{pair.quote}")
        await server.require_fires("StakeholdFxHeld")


async def test_a_stablecoin_that_is_not_stable(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path, registry_refresh_s=0.1) as server, fx_api(server.address) as fx:
        pair = await fx.pair(peg="1", peg_band_bps=50, jump_bps=5000)
        await pair.accepted("1.001", now_ms() - 2000)
        await server.until_above(0, "stakehold_fx_rate_usable", pair=f"{pair.base}/{pair.quote}")
        await server.is_well()

        await pair.push("0.9")

        await server.until_above(0, "stakehold_fx_depegged", pair=f"{pair.base}/{pair.quote}")
        await server.require_fires("StakeholdFxDepegged")
