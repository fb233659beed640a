"""What operators set up, and what every method refuses with the field named."""

from collections.abc import Callable
from typing import Any

import pytest

from stakehold.v1 import fx_service_pb2 as pb
from tests.answers import Refused
from tests.fx_api import DAY_S, HOUR_MS, FxApi, PairApi, fx_api, now_ms, refusal, timestamp, told
from tests.serving import Grounds
from tests.waiting import until

FINAL = "FAILED_PRECONDITION"


async def test_a_pair_is_listed_as_it_was_put_and_put_again(api: FxApi) -> None:
    made = PairApi(api, await api.currency(), await api.currency())
    whole = made.limits(peg="1.00", peg_band_bps=50)

    first = await api.call(pb.PutPairRequest(pair=whole))
    again = await api.call(pb.PutPairRequest(pair=made.limits(stale_after_s=5)))

    assert (first.created, first.pair) == (True, whole)
    assert not again.created
    listed = [pair for pair in (await api.call(pb.ListPairsRequest())).pairs if pair.base == made.base]
    assert listed == [made.limits(stale_after_s=5)]


async def test_a_pair_that_was_never_put_is_told_by_its_name(api: FxApi) -> None:
    stranger = PairApi(api, await api.currency(), await api.currency())

    for call in (
        stranger.rate_at(now_ms()),
        api.call(pb.ListRatesRequest(base=stranger.base, quote=stranger.quote)),
    ):
        refused = await refusal(call)
        names = {"base": stranger.base, "quote": stranger.quote}
        assert told(refused) == ("NOT_FOUND", "PAIR_UNKNOWN", names)
    assert (await stranger.push("1")).outcome == pb.PUSH_OUTCOME_REFUSED


async def test_a_rate_that_does_not_exist_is_not_decided(pair: PairApi) -> None:
    for rate_id in (0, -1, 2**62):
        for call in (pair.confirm(rate_id), pair.reject(rate_id)):
            assert told(await refusal(call)) == ("NOT_FOUND", "RATE_NOT_FOUND", {})


async def test_what_one_server_was_told_another_knows_soon(ground: Grounds, api: FxApi) -> None:
    async with ground.serving(registry_refresh_s=0.05) as server, fx_api(server.address) as other:
        pair = await api.pair()
        await pair.accepted("1.5")
        elsewhere = PairApi(other, pair.base, pair.quote)

        async def is_known() -> bool:
            try:
                return await elsewhere.mid() == "1.5"
            except Refused as refused:
                return refused.reason not in {"RATE_UNKNOWN", "CURRENCY_UNKNOWN"}

        await until(is_known, what="the other server knows the rate")


def pushing(**changes: Any) -> Callable[[PairApi], pb.PushRatesRequest]:
    def request(pair: PairApi) -> pb.PushRatesRequest:
        rate = pair.rate("1", now_ms())
        for name, value in changes.items():
            if name == "published_time":
                rate.published_time.CopyFrom(value)
            elif name in {"source", "pushed_by"}:
                continue
            else:
                setattr(rate, name, value)
        return pb.PushRatesRequest(
            source=changes.get("source", "feed"),
            pushed_by=changes.get("pushed_by", ""),
            rates=[pair.rate("1", now_ms()), rate],
        )

    return request


def putting(**limits: Any) -> Callable[[PairApi], pb.PutPairRequest]:
    return lambda pair: pb.PutPairRequest(pair=pair.limits(**limits))


def spreading(**changes: Any) -> Callable[[PairApi], pb.PutSpreadRequest]:
    return lambda pair: pb.PutSpreadRequest(spread=pb.Spread(**{"bps": 5, **changes}))


UNKNOWN_SIDE: dict[str, Any] = {"side": 9}
MALFORMED_MIDS = ("", "0", "-1", "+1", "1e3", "1,5", " 1", "NaN", "٥", "1" * 19, "0." + "0" * 18 + "1", ".5")
MALFORMED: list[tuple[str, Callable[[PairApi], Any]]] = [
    ("rates", lambda pair: pb.PushRatesRequest(source="feed")),
    ("rates", lambda pair: pb.PushRatesRequest(source="feed", rates=[pair.rate("1", now_ms())] * 501)),
    *[("source", pushing(source=source)) for source in ("", "Feed", "a b", "x" * 65, "ставка")],
    *[("pushed_by", pushing(pushed_by=person)) for person in ("x" * 129, "a\nb", "Zoë")],
    *[("rates[1].mid", pushing(mid=mid)) for mid in MALFORMED_MIDS],
    *[("rates[1].base", pushing(base=code)) for code in ("E\x00R", "x" * 129)],
    ("rates[1].quote", pushing(quote="€")),
    ("rates[1].published_time", pushing(published_time=timestamp(-1))),
    (
        "rates[0].published_time",
        lambda pair: pb.PushRatesRequest(
            source="feed", rates=[pb.PushedRate(base=pair.base, quote=pair.quote, mid="1")]
        ),
    ),
    *[("by", lambda pair, by=by: pb.ConfirmRateRequest(rate_id=1, by=by)) for by in ("", "x" * 129, "a\x00")],
    ("by", lambda pair: pb.RejectRateRequest(rate_id=1)),
    ("reason", lambda pair: pb.RejectRateRequest(rate_id=1, by="bob", reason="x" * 257)),
    ("page_size", lambda pair: pb.ListHeldRatesRequest(page_size=1001)),
    ("page_size", lambda pair: pb.ListRatesRequest(base=pair.base, quote=pair.quote, page_size=-1)),
    ("quote", lambda pair: pb.ListRatesRequest(base=pair.base, quote=pair.base)),
    (
        "end_time",
        lambda pair: pb.ListRatesRequest(
            base=pair.base, quote=pair.quote, start_time=timestamp(2), end_time=timestamp(1)
        ),
    ),
    ("time", lambda pair: pb.GetRateAtRequest(base=pair.base, quote=pair.quote)),
    (
        "known_time",
        lambda pair: pb.GetRateAtRequest(
            base=pair.base, quote=pair.quote, time=timestamp(1), known_time=timestamp(-1)
        ),
    ),
    ("side", lambda pair: pair.conversion_request(side=pb.CONVERSION_SIDE_UNSPECIFIED)),
    ("side", lambda pair: pair.conversion_request(side=7)),
    ("wallet_currency_code", lambda pair: pair.conversion_request(wallet_currency_code=pair.base)),
    ("player_group", lambda pair: pair.conversion_request(player_group="x" * 65)),
    ("amount", lambda pair: pair.conversion_request(amount="1.001")),
    ("amount", lambda pair: pair.conversion_request(amount="-1")),
    *[("pair.stale_after_s", putting(stale_after_s=seconds)) for seconds in (0, -1, 366 * DAY_S + 1)],
    *[("pair.jump_bps", putting(jump_bps=bps)) for bps in (0, 1_000_001)],
    ("pair.two_person_bps", putting(two_person_bps=-1)),
    ("pair.peg", putting(peg="0", peg_band_bps=5)),
    ("pair.peg_band_bps", putting(peg="1")),
    ("pair.peg_band_bps", putting(peg="1", peg_band_bps=10_000)),
    ("pair.peg_band_bps", putting(peg_band_bps=5)),
    ("pair.quote", lambda pair: pb.PutPairRequest(pair=PairApi(pair.api, pair.base, pair.base).limits())),
    ("spread.bps", spreading(bps=-1)),
    ("spread.bps", spreading(bps=10_000)),
    ("spread.side", spreading(side=9)),
    ("spread.player_group", spreading(player_group="x" * 65)),
    ("side", lambda pair: pb.DeleteSpreadRequest(**UNKNOWN_SIDE)),
    ("pivot_currency_codes", lambda pair: pb.PutPivotsRequest(pivot_currency_codes=[pair.base] * 2)),
    (
        "pivot_currency_codes",
        lambda pair: pb.PutPivotsRequest(pivot_currency_codes=[f"X{n}" for n in range(9)]),
    ),
    (
        "start_time",
        lambda pair: pb.GetPositionsRequest(reporting_currency_code=pair.base, start_time=timestamp(HOUR_MS)),
    ),
]
UNKNOWN_CURRENCIES: list[tuple[str, Callable[[PairApi], Any]]] = [
    ("base", lambda pair: pb.ListRatesRequest(base="XYZ", quote=pair.quote)),
    ("quote", lambda pair: pb.GetRateAtRequest(base=pair.base, quote="", time=timestamp(1))),
    ("currency_code", lambda pair: pair.conversion_request(currency_code="eur")),
    ("wallet_currency_code", lambda pair: pair.conversion_request(wallet_currency_code="")),
    ("pair.base", lambda pair: pb.PutPairRequest(pair=PairApi(pair.api, "XYZ", pair.quote).limits())),
    ("pair.quote", lambda pair: pb.PutPairRequest(pair=PairApi(pair.api, pair.base, "XYZ").limits())),
    ("spread.currency_code", spreading(currency_code="XYZ")),
    ("spread.wallet_currency_code", spreading(wallet_currency_code="XYZ")),
    ("wallet_currency_code", lambda pair: pb.DeleteSpreadRequest(wallet_currency_code="XYZ")),
    ("reporting_currency_code", lambda pair: pb.GetPositionsRequest(reporting_currency_code="XYZ")),
    ("pivot_currency_codes[1]", lambda pair: pb.PutPivotsRequest(pivot_currency_codes=["EUR", "XYZ"])),
]


@pytest.mark.parametrize(("field", "request_of"), MALFORMED)
async def test_what_is_malformed_is_refused_with_the_field_named(
    pair: PairApi, field: str, request_of: Callable[[PairApi], Any]
) -> None:
    refused = await refusal(pair.api.call(request_of(pair)))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD"), refused
    assert list(refused.details.fields) == [field]
    assert not (await pair.api.call(pb.ListRatesRequest(base=pair.base, quote=pair.quote))).rates


@pytest.mark.parametrize(("field", "request_of"), UNKNOWN_CURRENCIES)
async def test_an_unknown_currency_is_refused_with_the_field_named(
    pair: PairApi, field: str, request_of: Callable[[PairApi], Any]
) -> None:
    refused = await refusal(pair.api.call(request_of(pair)))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN"), refused
    assert list(refused.details.fields) == [field]


async def test_every_method_has_a_malformed_request_or_takes_nothing() -> None:
    [service] = pb.DESCRIPTOR.services_by_name.values()
    pair = PairApi(FxApi(None, None), "EUR", "USD")  # type: ignore[arg-type]
    tried = {type(make(pair)).DESCRIPTOR.name for _, make in [*MALFORMED, *UNKNOWN_CURRENCIES]}

    with_fields = {method.input_type.name for method in service.methods if method.input_type.fields}
    assert tried == with_fields
