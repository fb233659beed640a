"""What a transaction would be converted at, or why it would not be."""

from typing import Any

from stakehold.v1 import fx_service_pb2 as pb
from tests.fx_api import MINUTE_MS, FxApi, PairApi, now_ms, refusal, told

FINAL = "FAILED_PRECONDITION"


async def test_a_stale_rate_is_refused_not_used(api: FxApi) -> None:
    pair = await api.pair(stale_after_s=60)
    await pair.accepted("1.1", now_ms() - 61_000)

    refused = await refusal(pair.conversion())

    assert told(refused) == (
        FINAL,
        "RATE_STALE",
        {"amount_currency_code": pair.base, "currency_code": pair.quote},
    )
    await pair.accepted("1.1")
    assert await pair.mid() == "1.1"


async def test_while_the_only_fresh_rate_is_held_there_is_none(api: FxApi) -> None:
    pair = await api.pair(stale_after_s=60)
    await pair.accepted("1", now_ms() - 61_000)
    held = await pair.held("2")

    refused = await refusal(pair.conversion())

    assert told(refused) == (
        FINAL,
        "RATE_HELD",
        {"amount_currency_code": pair.base, "currency_code": pair.quote},
    )
    await pair.confirm(held)
    assert await pair.mid() == "2"


async def test_a_pair_without_a_rate_is_refused(pair: PairApi) -> None:
    refused = await refusal(pair.conversion())

    assert told(refused) == (
        FINAL,
        "RATE_UNKNOWN",
        {"amount_currency_code": pair.base, "currency_code": pair.quote},
    )


async def test_a_stablecoin_off_its_peg_is_refused_until_it_is_back(api: FxApi) -> None:
    pair = await api.pair(jump_bps=1000, peg="1", peg_band_bps=50)
    await pair.accepted("0.999", now_ms() - MINUTE_MS)
    held = await pair.held("0.98")

    refused = await refusal(pair.conversion())

    assert told(refused) == (
        FINAL,
        "CURRENCY_DEPEGGED",
        {"amount_currency_code": pair.base, "currency_code": pair.quote},
    )
    assert await pair.waiting() == [held]
    await pair.reject(held)
    assert await pair.mid() == "0.999"


async def test_a_confirmed_rate_off_the_peg_keeps_it_refused(api: FxApi) -> None:
    pair = await api.pair(jump_bps=1000, peg="1", peg_band_bps=50)
    await pair.confirm(await pair.held("0.98", now_ms() - 1_000))
    assert (await refusal(pair.conversion())).reason == "CURRENCY_DEPEGGED"

    await pair.accepted("1.0001")

    assert await pair.mid() == "1.0001"


async def test_a_player_pays_more_and_receives_less_than_mid(pair: PairApi) -> None:
    await pair.accepted("1.0890")
    spread = pb.Spread(currency_code=pair.base, wallet_currency_code=pair.quote, bps=200)
    await pair.api.call(pb.PutSpreadRequest(spread=spread))

    paid = await pair.conversion(amount="10.01")
    received = await pair.conversion(amount="10.01", side=pb.CONVERSION_SIDE_RECEIVED)

    assert (paid.mid_rate, paid.rate, paid.spread_bps) == ("1.089", "1.11078", 200)
    assert (received.mid_rate, received.rate, received.spread_bps) == ("1.089", "1.06722", 200)
    assert (paid.converted.currency_code, paid.converted.amount) == (pair.quote, "11.12")
    assert (received.converted.currency_code, received.converted.amount) == (pair.quote, "10.68")


async def test_currencies_of_other_decimals_are_shown_in_whole_units(api: FxApi) -> None:
    pair = await api.pair(scales=(8, 0))
    await pair.accepted("14500000")

    shown = await pair.conversion(amount="0.00000001", side=pb.CONVERSION_SIDE_RECEIVED)
    paid = await pair.conversion(amount="0.00000001")

    assert (shown.rate, shown.converted.amount, paid.converted.amount) == ("14500000", "0", "1")


async def test_the_most_specific_spread_counts_until_it_is_removed(pair: PairApi) -> None:
    await pair.accepted("2")
    of_pair: dict[str, Any] = {"currency_code": pair.base}
    of_group = {**of_pair, "player_group": "vip"}
    of_side = {**of_group, "side": pb.CONVERSION_SIDE_PAID}
    for bps, scope in ((300, of_pair), (100, of_group), (50, of_side)):
        request = pb.PutSpreadRequest(spread=pb.Spread(bps=bps, **scope))
        assert (await pair.api.call(request)).created
        assert not (await pair.api.call(request)).created

    assert (await pair.conversion()).spread_bps == 300
    assert (await pair.conversion(player_group="vip")).spread_bps == 50
    received = pb.CONVERSION_SIDE_RECEIVED
    assert (await pair.conversion(player_group="vip", side=received)).spread_bps == 100

    removal = pb.DeleteSpreadRequest(**of_side)
    assert (await pair.api.call(removal)).deleted
    assert not (await pair.api.call(removal)).deleted
    assert (await pair.conversion(player_group="vip")).spread_bps == 100
    listed = (await pair.api.call(pb.ListSpreadsRequest())).spreads
    assert [spread.bps for spread in listed if spread.currency_code == pair.base] == [300, 100]


async def test_two_currencies_without_a_pair_meet_in_a_pivot(api: FxApi) -> None:
    there, back = await api.pair(), await api.pair()
    on = PairApi(api, there.quote, back.quote)
    await on.put()
    first, second = await there.accepted("2"), await on.accepted("5")
    cross = PairApi(api, there.base, on.quote)
    assert (await refusal(cross.conversion())).reason == "RATE_UNKNOWN"

    put = await api.call(pb.PutPivotsRequest(pivot_currency_codes=[back.base, there.quote]))

    shown = await cross.conversion()
    assert (shown.mid_rate, shown.rate_id) == ("10", f"{first}.{second}")
    listed = await api.call(pb.ListPairsRequest())
    assert list(listed.pivot_currency_codes) == list(put.pivot_currency_codes) == [back.base, there.quote]
    await api.call(pb.PutPivotsRequest())
    assert not (await api.call(pb.ListPairsRequest())).pivot_currency_codes
