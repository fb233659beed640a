"""Through the API: a game that counts in another currency, at rates that were pushed."""

from dataclasses import dataclass, replace

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import money_pb2, transaction_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.answers import Refused, refused
from tests.bulk_api import BulkApi, command_of, said
from tests.fx_api import FxApi, PairApi, now_ms, timestamp
from tests.serving import Grounds
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, new_name

BET, WIN = transaction_pb2.TRANSACTION_KIND_BET, transaction_pb2.TRANSACTION_KIND_WIN
DEPOSIT = transaction_pb2.TRANSACTION_KIND_DEPOSIT


@dataclass(frozen=True, slots=True)
class Seat:
    """A player at a source that plays in the pair's base, with a wallet in its quote."""

    api: FxApi
    wallets: WalletServiceStub
    pair: PairApi
    source: str
    player: str

    async def call(self, request: object) -> object:
        method = getattr(self.wallets, type(request).__name__.removesuffix("Request"))
        try:
            return await method(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def refused(self, request: object) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.call(request)
        return caught.value

    def money(self, amount: str, currency: str = "") -> money_pb2.Money:
        return money_pb2.Money(currency_code=currency or self.pair.base, amount=amount)

    def debit(self, name: str, amount: str, **more: object) -> pb.DebitRequest:
        return pb.DebitRequest(
            source_id=self.source,
            player_id=self.player,
            transaction_id=name,
            kind=BET,
            amount=self.money(amount),
            **more,  # type: ignore[arg-type]
        )

    async def bet(self, name: str, amount: str, **more: object) -> transaction_pb2.TransactionResult:
        response = await self.call(self.debit(name, amount, **more))
        assert isinstance(response, pb.DebitResponse)
        return response.result

    async def win(self, name: str, amount: str, *, of: str) -> transaction_pb2.TransactionResult:
        request = pb.CreditRequest(
            source_id=self.source,
            player_id=self.player,
            transaction_id=name,
            kind=WIN,
            amount=self.money(amount),
            reference_transaction_id=of,
        )
        response = await self.call(request)
        assert isinstance(response, pb.CreditResponse)
        return response.result

    async def open(self, currency: str, start: str) -> None:
        await self.api.admin.OpenWallet(
            admin_pb.OpenWalletRequest(player_id=self.player, currency_code=currency), timeout=TIMEOUT_S
        )
        request = pb.CreditRequest(
            source_id=self.source,
            player_id=self.player,
            transaction_id=f"start-{currency}",
            kind=DEPOSIT,
            amount=self.money(start, currency),
        )
        await self.call(request)

    async def cash(self) -> dict[str, str]:
        response = await self.call(pb.GetWalletRequest(player_id=self.player))
        assert isinstance(response, pb.GetWalletResponse)
        return {balance.currency_code: balance.cash for balance in response.balances}

    async def quote(self, **asked: object) -> pb.Quote:
        """Sells the pair's base."""
        response = await self.call(self.quote_request(**asked))
        assert isinstance(response, pb.LockQuoteResponse)
        return response.quote

    def quote_request(self, **asked: object) -> pb.LockQuoteRequest:
        return pb.LockQuoteRequest(
            **{  # type: ignore[arg-type]
                "source_id": self.source,
                "player_id": self.player,
                "sell_currency_code": self.pair.base,
                "buy_currency_code": self.pair.quote,
                **asked,
            }
        )

    def exchange(self, name: str, quote: pb.Quote, **more: object) -> pb.ExchangeRequest:
        return pb.ExchangeRequest(
            **{  # type: ignore[arg-type]
                "source_id": self.source,
                "player_id": self.player,
                "transaction_id": name,
                "quote_id": quote.quote_id,
                **more,
            }
        )


@pytest_asyncio.fixture
async def seat(api: FxApi, ground: Grounds, pair: PairApi) -> Seat:
    source = new_name("games")
    put = admin_pb.Source(source_id=source, foreign_currency=admin_pb.FOREIGN_CURRENCY_POLICY_CONVERT)
    await api.admin.PutSource(admin_pb.PutSourceRequest(source=put), timeout=TIMEOUT_S)
    assert api.channel is not None
    made = Seat(api, WalletServiceStub(api.channel), pair, source, new_name("player"))
    await made.open(pair.quote, "100.00")
    return made


async def test_a_bet_its_win_and_their_rollbacks_at_one_rate(seat: Seat) -> None:
    rate_id = await seat.pair.accepted("0.9200")

    taken = await seat.bet("b1", "10.00")
    await seat.pair.confirm(await seat.pair.held("0.9500"))
    won = await seat.win("w1", "25.00", of="b1")
    later = await seat.bet("b2", "10.00")

    assert taken.balance_after.cash == "90.80"
    conversion = taken.conversion
    assert (conversion.requested.amount, conversion.converted.amount) == ("10.00", "9.20")
    assert (conversion.rate, conversion.mid_rate, conversion.rate_id) == ("0.92", "0.92", str(rate_id))
    assert conversion.origin == transaction_pb2.RATE_ORIGIN_CURRENT
    assert (won.conversion.converted.amount, won.conversion.rate) == ("23.00", "0.92")
    assert won.conversion.origin == transaction_pb2.RATE_ORIGIN_REFERENCE
    assert later.conversion.converted.amount == "9.50"
    for name, original in (("x1", "w1"), ("x2", "b1"), ("x3", "b2")):
        request = pb.RollbackRequest(
            source_id=seat.source,
            player_id=seat.player,
            transaction_id=name,
            original_transaction_id=original,
        )
        await seat.call(request)
    assert await seat.cash() == {seat.pair.quote: "100.00"}


async def test_a_providers_unit_is_converted_as_its_currency_is(seat: Seat) -> None:
    await seat.pair.accepted("0.9200")
    unit = admin_pb.Denomination(
        denomination_code=f"m{seat.pair.base}", currency_code=seat.pair.base, exponent=-3
    )
    await seat.api.admin.PutDenomination(
        admin_pb.PutDenominationRequest(denomination=unit), timeout=TIMEOUT_S
    )
    request = seat.debit("b1", "")
    request.amount.CopyFrom(seat.money("10000", unit.denomination_code))

    taken = await seat.call(request)
    again = await seat.bet("b1", "10.00")

    assert isinstance(taken, pb.DebitResponse)
    assert taken.result.conversion.requested == seat.money("10.00")
    assert taken.result.conversion.converted.amount == "9.20"
    assert again.replayed
    quote = await seat.quote(buy_amount="9.20")
    exchange = seat.exchange("e1", quote, sell=seat.money("20", unit.denomination_code))
    assert (await seat.refused(exchange)).reason == "QUOTE_AMOUNT_MISMATCH"


async def test_without_a_usable_rate_nothing_is_taken_and_the_reason_is_told(seat: Seat) -> None:
    refused = await seat.refused(seat.debit("b1", "10.00"))

    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "RATE_UNKNOWN")
    assert refused.details.metadata["amount_currency_code"] == seat.pair.base
    assert refused.details.metadata["currency_code"] == seat.pair.quote
    await seat.pair.accepted("0.9200")
    assert (await seat.bet("b1", "10.00")).conversion.converted.amount == "9.20"


async def test_what_became_of_a_converted_bet_says_how(seat: Seat) -> None:
    await seat.pair.accepted("0.9200")
    taken = await seat.bet("b1", "10.00")

    request = pb.GetTransactionRequest(source_id=seat.source, player_id=seat.player, transaction_id="b1")
    found = await seat.call(request)

    assert isinstance(found, pb.GetTransactionResponse)
    assert found.conversion == found.result.conversion == taken.conversion
    assert found.amount.amount == "9.20"


async def test_the_wallet_may_be_named_by_the_call_and_has_to_be_known(seat: Seat) -> None:
    await seat.pair.accepted("0.9200")

    taken = await seat.bet("b1", "10.00", wallet_currency_code=seat.pair.quote)
    refused = await seat.refused(seat.debit("b2", "10.00", wallet_currency_code="NONE00"))

    assert taken.conversion.converted.currency_code == seat.pair.quote
    assert (refused.reason, list(refused.details.fields)) == (
        "CURRENCY_UNKNOWN",
        ["wallet_currency_code"],
    )


async def test_an_exchange_moves_both_wallets_as_it_was_quoted(seat: Seat) -> None:
    await seat.open(seat.pair.base, "100.00")
    await seat.pair.accepted("1.0890")

    quote = await seat.quote(sell_amount="100.00")
    await seat.pair.confirm(await seat.pair.held("1.2"))
    done = await seat.call(seat.exchange("e1", quote, sell=quote.sell, buy=quote.buy))
    again = await seat.call(seat.exchange("e1", quote))

    assert (quote.sell.amount, quote.buy.amount, quote.rate) == ("100.00", "108.90", "1.089")
    assert isinstance(done, pb.ExchangeResponse)
    assert isinstance(again, pb.ExchangeResponse)
    assert done.bought.conversion.origin == transaction_pb2.RATE_ORIGIN_QUOTE
    assert again.sold.replayed
    assert again.bought.replayed
    assert await seat.cash() == {seat.pair.base: "0.00", seat.pair.quote: "208.90"}
    used = await seat.refused(seat.exchange("e2", quote))
    assert (used.reason, used.details.metadata["related_transaction_id"]) == ("QUOTE_USED", "e1")


async def test_what_is_converted_or_exchanged_may_come_in_a_batch(seat: Seat) -> None:
    await seat.pair.accepted("1.0890")
    converted = command_of(seat.debit("b1", "10.00"))
    assert seat.api.channel is not None
    bulk = BulkApi(seat.api.channel)

    first = await bulk.batch([converted, converted])
    await seat.open(seat.pair.base, "100.00")
    exchanged = command_of(seat.exchange("e1", await seat.quote(sell_amount="100.00")))
    second = await bulk.batch([exchanged, exchanged])

    assert [said(answer) for answer in first] == ["APPLIED", "APPLIED again"]
    assert [said(answer) for answer in second] == ["APPLIED APPLIED", "APPLIED again APPLIED again"]
    assert await seat.cash() == {seat.pair.base: "0.00", seat.pair.quote: "198.01"}


async def test_a_quote_may_say_what_is_to_be_bought(seat: Seat) -> None:
    await seat.pair.accepted("3")

    quote = await seat.quote(buy_amount="10.00")

    assert (quote.sell.amount, quote.buy.amount) == ("3.34", "10.02")


async def test_a_quote_that_is_not_the_callers_or_not_for_this_is_refused(seat: Seat) -> None:
    await seat.open(seat.pair.base, "100.00")
    await seat.pair.accepted("1.0890")
    quote = await seat.quote(sell_amount="100.00")
    other = seat.money("99.00")
    turned = {"sell": quote.buy, "buy": quote.sell}

    refusals = [
        await seat.refused(seat.exchange("e1", quote, player_id="another")),
        await seat.refused(seat.exchange("e1", quote, **turned)),
        await seat.refused(seat.exchange("e1", quote, sell=other)),
        await seat.refused(seat.exchange("e1", pb.Quote(quote_id=f"{quote.quote_id[:-1]}."))),
    ]

    assert [(told.code, told.reason) for told in refusals] == [
        ("FAILED_PRECONDITION", "QUOTE_OF_ANOTHER_PLAYER"),
        ("FAILED_PRECONDITION", "QUOTE_SIDE_MISMATCH"),
        ("FAILED_PRECONDITION", "QUOTE_AMOUNT_MISMATCH"),
        ("INVALID_ARGUMENT", "QUOTE_INVALID"),
    ]
    assert refusals[2].details.metadata["sell_amount"] == "100.00"
    assert await seat.cash() == {seat.pair.base: "100.00", seat.pair.quote: "100.00"}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "sell_amount"),
        ({"sell_amount": "0"}, "sell_amount"),
        ({"sell_amount": "1.001"}, "sell_amount"),
        ({"buy_amount": "-1"}, "buy_amount"),
        ({"sell_amount": "1", "time_to_live": Duration(seconds=301)}, "time_to_live"),
        ({"sell_amount": "1", "time_to_live": Duration(nanos=1)}, "time_to_live"),
        ({"sell_amount": "1", "buy_currency_code": "NONE00"}, "buy_currency_code"),
        ({"sell_amount": "1", "player_group": "\x00"}, "player_group"),
    ],
)
async def test_a_quote_that_makes_no_sense_is_refused_with_its_field(
    seat: Seat, asked: dict[str, object], field: str
) -> None:
    await seat.pair.accepted("1.0890")

    refused = await seat.refused(seat.quote_request(**asked))

    assert (refused.code, list(refused.details.fields)) == (
        "INVALID_ARGUMENT",
        [field],
    )


async def test_a_quote_is_no_larger_than_the_books(seat: Seat) -> None:
    await seat.pair.accepted("0.0001")

    refused = await seat.refused(seat.quote_request(buy_amount="9" * 34))

    assert (refused.code, list(refused.details.fields)) == ("INVALID_ARGUMENT", ["buy_amount"])


async def test_there_is_no_quote_without_a_rate(seat: Seat) -> None:
    await seat.pair.put(stale_after_s=60)
    await seat.pair.accepted("1.0890", now_ms() - 61_000)

    refused = await seat.refused(seat.quote_request(sell_amount="1"))

    assert refused.reason == "RATE_STALE"


async def test_another_server_takes_the_quote_too(seat: Seat, ground: Grounds) -> None:
    await seat.open(seat.pair.base, "100.00")
    await seat.pair.accepted("1.0890")
    quote = await seat.quote(sell_amount="100.00")

    async with ground.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        done = await WalletServiceStub(channel).Exchange(seat.exchange("e1", quote), timeout=TIMEOUT_S)

    assert done.bought.conversion.converted.amount == "108.90"
    assert quote.expire_time.ToMilliseconds() > timestamp(now_ms()).ToMilliseconds()


async def test_with_several_wallets_the_call_has_to_name_one(seat: Seat, api: FxApi) -> None:
    await seat.open(await api.currency(), "1.00")
    await seat.pair.accepted("0.9200")

    refused = await seat.refused(seat.debit("b1", "10.00"))

    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "WALLET_AMBIGUOUS")
    assert refused.details.metadata["player_id"] == seat.player


async def test_a_win_that_would_be_nothing_is_refused(seat: Seat) -> None:
    await seat.pair.accepted("0.0100")
    await seat.bet("b1", "10.00")

    with pytest.raises(Refused) as caught:
        await seat.win("w1", "0.99", of="b1")

    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "AMOUNT_TOO_SMALL")


async def test_a_quote_that_is_over_is_refused(seat: Seat, ground: Grounds) -> None:
    await seat.open(seat.pair.base, "100.00")
    await seat.pair.accepted("1.0890")
    quote = await seat.quote(sell_amount="100.00", time_to_live=Duration(seconds=1))

    async def is_over() -> bool:
        return now_ms() > quote.expire_time.ToMilliseconds()

    await until(is_over, what="the quote is over")
    async with (
        ground.serving(quote_grace_s=0) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        strict = replace(seat, wallets=WalletServiceStub(channel))
        refused = await strict.refused(seat.exchange("e1", quote))

    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "QUOTE_EXPIRED")
    assert await seat.cash() == {seat.pair.base: "100.00", seat.pair.quote: "100.00"}
