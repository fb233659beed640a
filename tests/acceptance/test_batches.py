"""BulkService.Batch: many commands in one call, each with an answer of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict

from stakehold.v1 import bulk_service_pb2, command_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.bulk_api import BulkApi, bulk_api, command, said
from tests.deployment import Deployment
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import WalletApi

MANY = 1_000


@pytest_asyncio.fixture(scope="session")
async def bulk(deployment: Deployment) -> AsyncIterator[BulkApi]:
    async with bulk_api(deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def another(api: WalletApi, seat: Seat) -> Seat:
    """Another player of the same source."""
    return replace(await seated(api), source_id=seat.source_id)


async def test_every_command_is_answered_at_its_place(bulk: BulkApi, seat: Seat, another: Seat) -> None:
    answers = await bulk.batch(
        [
            command(seat, bet("b1", "10", round_id="r1")),
            command(another, bet("b1", "20")),
            command(seat, win("w1", "25", of="b1", round_id="r1")),
            command(another, rollback("rb1", "b1")),
            command(seat, bet("b2", "1"), bet("b3", "2")),
        ]
    )

    ids = [[done.transaction_id for done in answer] for answer in answers if not isinstance(answer, Refused)]
    assert ids == [["b1"], ["b1"], ["w1"], ["rb1"], ["b2", "b3"]]
    assert [said(answer) for answer in answers] == [*["APPLIED"] * 4, "APPLIED APPLIED"]
    assert await seat.cash() == "112.00"
    assert await another.cash() == "100.00"


async def test_every_verb_travels_in_a_batch(bulk: BulkApi, seat: Seat) -> None:
    answers = await bulk.batch([command_of(seat, name, fields) for name, fields in VERBS])

    assert {name for name, _ in VERBS} | {"transact", "exchange"} == {
        field.name for field in command_pb2.Command.DESCRIPTOR.fields
    }
    assert [said(answer) for answer in answers] == ["APPLIED"] * len(VERBS)
    assert await seat.cash() == "107.00"


VERBS: tuple[tuple[str, dict[str, object]], ...] = (
    ("debit", {"kind": "TRANSACTION_KIND_BET", "amount": "10", "round_id": "r1"}),
    ("credit", {"kind": "TRANSACTION_KIND_WIN", "amount": "5", "round_id": "r1"}),
    ("rollback", {"original_transaction_id": "t1-credit"}),
    ("close_round", {"round_id": "r1"}),
    ("hold", {"kind": "TRANSACTION_KIND_BET", "amount": "20"}),
    ("capture", {"slip_id": "t4-hold", "amount": "8"}),
    ("release", {"slip_id": "t4-hold"}),
    ("settle_slip", {"slip_id": "t4-hold", "amount": "9"}),
    ("resettle_slip", {"slip_id": "t4-hold", "total": "20"}),
    ("unsettle_slip", {"slip_id": "t4-hold"}),
    ("void_slip", {"slip_id": "t4-hold"}),
    ("reopen_slip", {"slip_id": "t4-hold"}),
    ("cash_out_slip", {"slip_id": "t4-hold", "amount": "30"}),
    ("place_slip", {"stake": "5"}),
)


def command_of(seat: Seat, name: str, fields: dict[str, object]) -> command_pb2.Command:
    """One after the other, as they stand in VERBS; amounts are of euros."""
    place = [verb for verb, _ in VERBS].index(name)
    request: dict[str, object] = {
        field: {"currency_code": "EUR", "amount": value} if field in {"amount", "total", "stake"} else value
        for field, value in fields.items()
    }
    request |= {
        "source_id": seat.source_id,
        "player_id": seat.player_id,
        "transaction_id": f"t{place}-{name}",
    }
    return ParseDict({name: request}, command_pb2.Command())


async def test_a_bad_apple_of_any_sort_spoils_only_itself(bulk: BulkApi, api: WalletApi, seat: Seat) -> None:
    nobody = replace(seat, player_id="nobody-at-all")
    malformed = command(seat, bet("m1", "1e1"))
    answers = await bulk.batch(
        [
            command(seat, bet("b1", "1")),
            malformed,
            command_pb2.Command(),
            command(replace(seat, source_id="never put"), bet("b2", "1")),
            command(nobody, bet("b3", "1")),
            command(seat, bet("b4", "1000")),
            command(seat, bet("b5", "1", "XYZ")),
            command(seat, bet("b1", "2")),
            command(replace(seat, player_id=""), bet("b6", "1")),
            command(seat, win("w1", "5", of="unknown")),
            command_pb2.Command(exchange=pb.ExchangeRequest(source_id=seat.source_id, quote_id="no quote")),
            command(seat, bet("b7", "1")),
        ]
    )

    assert [said(answer) for answer in answers] == [
        "APPLIED",
        "INVALID_ARGUMENT INVALID_FIELD",
        "INVALID_ARGUMENT INVALID_FIELD",
        "NOT_FOUND SOURCE_NOT_FOUND",
        "NOT_FOUND WALLET_NOT_FOUND",
        "FAILED_PRECONDITION INSUFFICIENT_FUNDS",
        "INVALID_ARGUMENT CURRENCY_UNKNOWN",
        "ALREADY_EXISTS TRANSACTION_ID_CONFLICT",
        "INVALID_ARGUMENT INVALID_FIELD",
        "NOT_FOUND REFERENCE_NOT_FOUND",
        "INVALID_ARGUMENT INVALID_FIELD",
        "APPLIED",
    ]
    assert await seat.cash() == "98.00"
    fields = [answer.details.fields for answer in answers if isinstance(answer, Refused)]
    assert fields[:2] == [("amount.amount",), ("operation",)]


async def test_a_command_is_refused_with_all_that_the_unary_call_says(bulk: BulkApi, seat: Seat) -> None:
    [in_batch] = await bulk.batch([command(seat, bet("b1", "1000"))])
    unary = await seat.refused(bet("b1", "1000"))

    assert isinstance(in_batch, Refused)
    assert in_batch.details.refusal is not None
    assert unary.details.refusal == replace(in_batch.details.refusal, replayed=True)
    assert replace(unary.details, refusal=None) == replace(in_batch.details, refusal=None)


async def test_bytes_that_are_no_command_spoil_only_themselves(bulk: BulkApi, seat: Seat) -> None:
    good = [command(seat, bet(f"b{number}", "1")).SerializeToString() for number in range(2)]
    latin = command(seat, bet("latin", "1")).SerializeToString().replace(b"latin", b"lat\xedn")
    key = bytes([bulk_service_pb2.BatchRequest.COMMANDS_FIELD_NUMBER << 3 | 2])

    def entry(raw: bytes) -> bytes:
        assert len(raw) < 128
        return key + bytes([len(raw)]) + raw

    answers = await bulk.raw_batch(b"".join(map(entry, (good[0], latin, b"\xff\xff", good[1]))))

    assert [said(answer) for answer in answers] == [
        "APPLIED",
        "INVALID_ARGUMENT INVALID_FIELD",
        "INVALID_ARGUMENT INVALID_FIELD",
        "APPLIED",
    ]


async def test_the_same_id_twice_in_a_batch_is_applied_once(bulk: BulkApi, seat: Seat) -> None:
    first, second = await bulk.batch([command(seat, bet("b1", "10"))] * 2)

    assert [said(first), said(second)] == ["APPLIED", "APPLIED again"]
    assert await seat.cash() == "90.00"


async def test_a_batch_that_is_sent_again_is_answered_again_on_any_road(bulk: BulkApi, seat: Seat) -> None:
    commands = [command(seat, bet(f"b{number}", "1")) for number in range(20)]
    first = await bulk.batch(commands)

    again = await bulk.batch(commands)
    unary = await seat.one(bet("b7", "1"))

    assert {said(answer) for answer in again} == {"APPLIED again"}
    entries = [[done.entry_id for done in answer] for answer in first if not isinstance(answer, Refused)]
    assert entries == [
        [done.entry_id for done in answer] for answer in again if not isinstance(answer, Refused)
    ]
    assert [unary.entry_id] == entries[7]
    assert await seat.cash() == "80.00"


async def test_parallel_batches_with_the_same_ids_are_applied_once(bulk: BulkApi, seat: Seat) -> None:
    commands = [command(seat, bet(f"b{number}", "0.10")) for number in range(100)]

    batches = await asyncio.gather(*(bulk.batch(commands) for _ in range(5)))

    for same in zip(*batches, strict=True):
        assert sorted(map(said, same)) == ["APPLIED", *["APPLIED again"] * 4]
    assert await seat.cash() == "90.00"


async def test_a_call_of_several_steps_is_all_or_nothing_in_a_batch_too(bulk: BulkApi, seat: Seat) -> None:
    answers = await bulk.batch(
        [
            command(seat, bet("a1", "60"), bet("a2", "60")),
            command(seat, bet("c1", "60"), win("c2", "10", of="c1")),
        ]
    )

    assert [said(answer) for answer in answers] == [
        "FAILED_PRECONDITION INSUFFICIENT_FUNDS",
        "APPLIED APPLIED",
    ]
    assert await seat.cash() == "50.00"


async def test_commands_of_one_player_are_applied_in_the_order_given(bulk: BulkApi, seat: Seat) -> None:
    """Each bet can only be paid by the deposit right before it."""
    pairs = [
        (command(seat, deposit(f"d{number}", "1000")), command(seat, bet(f"b{number}", "1000")))
        for number in range(100)
    ]
    answers = await bulk.batch([sent for pair in pairs for sent in pair])

    assert {said(answer) for answer in answers} == {"APPLIED"}
    versions = [
        answer[0].after.version for answer in answers if not isinstance(answer, Refused) and answer[0].after
    ]
    assert versions == list(range(versions[0], versions[0] + 200))
    assert await seat.cash() == "100.00"


async def test_a_thousand_commands_of_as_many_ids_are_answered(bulk: BulkApi, api: WalletApi) -> None:
    seats = [await seated(api, start="100") for _ in range(8)]
    commands = [command(seats[number % 8], bet(f"b{number}", "0.10")) for number in range(MANY)]

    answers = await bulk.batch(commands)

    assert [said(answer) for answer in answers] == ["APPLIED"] * MANY
    assert {await seat.cash() for seat in seats} == {"87.50"}


@pytest.mark.parametrize("count", [0, MANY + 1])
async def test_a_batch_of_nothing_or_too_much_is_refused_as_a_whole(
    bulk: BulkApi, seat: Seat, count: int
) -> None:
    commands = [command(seat, bet(f"b{number}", "0.01")) for number in range(count)]

    with pytest.raises(Refused) as caught:
        await bulk.batch(commands)

    assert (caught.value.code, caught.value.details.fields) == ("INVALID_ARGUMENT", ("commands",))
    assert await seat.cash() == "100.00"


async def test_a_batch_of_too_many_steps_is_refused_as_a_whole(bulk: BulkApi, seat: Seat) -> None:
    long = command(seat, *(bet(f"b{number}", "0.01") for number in range(16)))

    with pytest.raises(Refused) as caught:
        await bulk.batch([long] * 251)

    assert (caught.value.code, caught.value.details.fields) == ("INVALID_ARGUMENT", ("commands",))
