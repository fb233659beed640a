"""What operators read by the command line is what the API says, in each format."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from stakehold.v1 import ledger_service_pb2 as ledger_pb
from stakehold.v1 import money_pb2
from stakehold.v1 import round_service_pb2 as round_pb
from stakehold.v1 import sportsbook_service_pb2 as book_pb
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub
from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceStub
from tests.acceptance.seat import Seat, seated
from tests.deployment import Deployment
from tests.operating import Desk, Ended, told
from tests.steps import bet, rollback, win
from tests.wallet_api import TIMEOUT_S, WalletApi

if TYPE_CHECKING:  # these exist for type checkers only
    from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub
    from stakehold.v1.round_service_pb2_grpc import RoundServiceAsyncStub
    from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Evening:
    """A player who has played, what an operator asks about it, and the API."""

    desk: Desk
    seat: Seat
    ledger: "LedgerServiceAsyncStub"
    rounds: "RoundServiceAsyncStub"
    slips: "SportsbookServiceAsyncStub"
    drained: Callable[[], Awaitable[None]]

    async def says(self, *words: str) -> Ended:
        """A command about this player; "PLAYER" and "SOURCE" stand for the ids."""
        ids = {"PLAYER": self.seat.player_id, "SOURCE": self.seat.source_id}
        return await self.desk.says(*(ids.get(word, word) for word in words))

    async def statement(self) -> ledger_pb.GetStatementResponse:
        request = ledger_pb.GetStatementRequest(player_id=self.seat.player_id, currency_code="EUR")
        return await self.ledger.GetStatement(request, timeout=TIMEOUT_S)

    async def entries(self) -> list[ledger_pb.Entry]:
        request = ledger_pb.ListEntriesRequest(player_id=self.seat.player_id)
        return list((await self.ledger.ListEntries(request, timeout=TIMEOUT_S)).entries)

    async def round(self) -> round_pb.GetRoundResponse:
        request = round_pb.GetRoundRequest(
            player_id=self.seat.player_id, source_id=self.seat.source_id, round_id="r1", game_id="g1"
        )
        return await self.rounds.GetRound(request, timeout=TIMEOUT_S)


@pytest_asyncio.fixture(scope="module")
async def evening(deployment: Deployment, api: WalletApi) -> AsyncIterator[Evening]:
    """Bets that were won, lost, rolled back and refused; an open round, an open slip."""
    seat = await seated(api)
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        slips = SportsbookServiceStub(channel)
        await seat.one(bet("b1", "10.50", round_id="r1", game_id="g1"))
        await seat.one(win("w1", "25", of="b1", round_id="r1", game_id="g1"))
        await seat.one(bet("b2", "5", round_id="r1", game_id="g1"))
        await seat.one(rollback("x2", "b2"))
        await seat.one(bet("b3", "1", round_id="r2", game_id="g1"))
        await seat.refused(bet("b4", "1000"))
        await slips.PlaceSlip(slip_request(seat, "s1"), timeout=TIMEOUT_S)
        await deployment.require_agreement()
        yield Evening(
            Desk(deployment.address),
            seat,
            LedgerServiceStub(channel),
            RoundServiceStub(channel),
            slips,
            deployment.require_agreement,
        )


def slip_request(seat: Seat, name: str) -> book_pb.PlaceSlipRequest:
    return book_pb.PlaceSlipRequest(
        source_id=seat.source_id,
        player_id=seat.player_id,
        transaction_id=name,
        stake=money_pb2.Money(currency_code="EUR", amount="7"),
    )


def words_of(line: str) -> list[str]:
    return line.split()


async def test_a_statement_in_csv_sums_up(evening: Evening) -> None:
    answer = await evening.statement()

    rows = (await evening.says("statement", "PLAYER", "--currency", "EUR", "--output", "csv")).rows()

    opening, *lines, closing = rows
    assert [row["line"] for row in rows] == ["BALANCE", *["ENTRY"] * len(answer.lines), "BALANCE"]
    assert (opening["title"], closing["title"]) == ("Opening Balance", "Closing Balance")
    assert (opening["running_balance"], opening["change"], closing["change"]) == ("0.00", "", "")
    total = Decimal(opening["running_balance"])
    for row, line in zip(lines, answer.lines, strict=True):
        total += Decimal(row["change"])
        assert Decimal(row["running_balance"]) == total
        assert (row["change"], row["running_balance"]) == (line.change, line.running_balance)
        assert row["transaction_id"] == line.entry.transaction_id
        assert row["amount"] == line.entry.amount.amount
        assert row["booked_time"] == line.entry.booked_time.ToJsonString()
        assert row["hash"] == line.entry.hash.hex()
    assert Decimal(closing["running_balance"]) == total == Decimal(answer.closing_balance)


async def test_a_statement_in_json_is_the_apis(evening: Evening) -> None:
    expected = told(await evening.statement())
    del expected["next_page_token"]

    ended = await evening.says("statement", "PLAYER", "--currency", "EUR", "--output", "json")

    assert ended.document() == expected


async def test_a_statement_is_a_table_with_its_balances(evening: Evening) -> None:
    answer = await evening.statement()

    lines = (await evening.says("statement", "PLAYER", "--currency", "EUR")).lines()

    assert words_of(lines[0]) == ["player_id", evening.seat.player_id]
    assert words_of(lines[3]) == ["closing_balance", answer.closing_balance]
    names = ["booked_time", "title", "source_id", "transaction_id", "change", "running_balance"]
    assert words_of(lines[6]) == names
    assert len(lines) == 7 + 1 + len(answer.lines) + 1
    assert words_of(lines[-1])[-1] == answer.closing_balance


async def test_a_statement_that_a_limit_ends_has_no_closing_row_and_says_so(evening: Evening) -> None:
    words = ("statement", "PLAYER", "--currency", "EUR", "--limit", "2")

    ended = await evening.says(*words, "--output", "csv")
    in_json = await evening.says(*words, "--output", "json")

    assert ended.status == 0
    assert "Closing Balance" not in ended.output
    assert ended.output.count("\r\n") == 1 + 1 + 2
    assert ended.errors == "stakehold: there may be more lines than these.\n"
    assert len(json.loads(in_json.output)["lines"]) == 2


async def test_a_statement_is_of_its_period(evening: Evening) -> None:
    answer = await evening.statement()
    first, last = answer.lines[1].entry.booked_time, answer.lines[3].entry.booked_time

    document = (
        await evening.says(
            *("statement", "PLAYER", "--currency", "EUR", "--output", "json"),
            *("--from", first.ToJsonString(), "--to", last.ToJsonString()),
        )
    ).document()

    wanted = [
        line.entry.transaction_id
        for line in answer.lines
        if first.ToNanoseconds() <= line.entry.booked_time.ToNanoseconds() < last.ToNanoseconds()
    ]
    assert [line["entry"]["transaction_id"] for line in document["lines"]] == wanted


async def test_entries_are_the_apis_in_each_format(evening: Evening) -> None:
    entries = await evening.entries()
    words = ("entries", "--player", "PLAYER")

    document = (await evening.says(*words, "--output", "json")).document()
    rows = (await evening.says(*words, "--output", "csv")).rows()
    lines = (await evening.says(*words)).lines()

    assert document == [told(entry) for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        assert row["entry_id"] == entry.entry_id
        assert row["title"] == entry.title
        assert row["amount"] == (entry.amount.amount if entry.HasField("amount") else "")
        assert row["change_cash"] == entry.change.cash
        assert row["cash_after"] == entry.balance_after.cash
        assert row["version"] == str(entry.version)
        assert row["rolled_back_by_transaction_id"] == entry.rolled_back_by_transaction_id
        assert row["late"] == ("true" if entry.late else "false")
    refused = next(row for row in rows if row["transaction_id"] == "b4")
    assert (refused["entry_type"], refused["kind"], refused["refusal_reason"]) == (
        "REFUSED", "BET", "INSUFFICIENT_FUNDS",
    )  # fmt: skip
    assert len(lines) == 1 + len(entries)
    assert any("INSUFFICIENT_FUNDS" in line for line in lines)


async def test_entries_are_filtered(evening: Evening) -> None:
    async def listed(*options: str) -> list[str]:
        rows = (await evening.says("entries", *options, "--output", "csv")).rows()
        return [row["transaction_id"] for row in rows]

    assert await listed("--player", "PLAYER", "--kind", "win", "--kind", "rollback") == ["w1", "x2"]
    assert await listed("--source", "SOURCE", "--round", "r2") == ["b3"]
    assert await listed("--player", "PLAYER", "--currency", "USD") == []
    assert await listed("--player", "PLAYER", "--to", "2020-01-01") == []


async def test_a_list_is_read_to_its_last_page(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.operators.paging.Paged._size", lambda _, left: min(2, left or 2))
    entries = await evening.entries()

    everything = await evening.says("entries", "--player", "PLAYER", "--output", "json")
    some = await evening.says("entries", "--player", "PLAYER", "--output", "json", "--limit", "5")

    assert everything.document() == [told(entry) for entry in entries]
    assert json.loads(some.output) == [told(entry) for entry in entries[:5]]
    assert (some.status, some.errors) == (0, "stakehold: there may be more entries than these.\n")


async def test_a_player_is_shown_whole(evening: Evening) -> None:
    session = await evening.rounds.ResumeSession(
        round_pb.ResumeSessionRequest(player_id=evening.seat.player_id), timeout=TIMEOUT_S
    )

    document = (await evening.says("player", "PLAYER", "--output", "json")).document()
    lines = (await evening.says("player", "PLAYER")).lines()

    assert document == {
        "player_id": evening.seat.player_id,
        "balances": [told(balance) for balance in session.balances],
        "open_rounds": [told(played) for played in session.open_rounds],
        "open_slips": [told(slip) for slip in session.open_slips],
        "transactions": [told(summary) for summary in session.transactions],
    }
    assert [played["round_id"] for played in document["open_rounds"]] == ["r2", "r1"]
    assert [slip["slip"]["slip_id"] for slip in document["open_slips"]] == ["s1"]
    assert [line for line in lines if line and " " not in line] == ["Wallets"]
    assert {"Open rounds in which bets stand", "Open slips, newest first", "Newest transactions"} <= set(
        lines
    )
    assert words_of(lines[4])[:3] == ["EUR", "ACTIVE", session.balances[0].cash]


@pytest.mark.parametrize(
    ("part", "column", "values"),
    [
        ("balances", "currency_code", ["EUR"]),
        ("open_rounds", "round_id", ["r2", "r1"]),
        ("open_slips", "staked", ["7.00"]),
        ("transactions", "transaction_id", ["s1", "b4", "b3", "x2", "b2", "w1", "b1", "start"]),
    ],
)
async def test_a_players_csv_is_one_of_the_tables(
    evening: Evening, part: str, column: str, values: list[str]
) -> None:
    words = ("player", "PLAYER", "--part", part)

    rows = (await evening.says(*words, "--output", "csv")).rows()
    document = (await evening.says(*words, "--output", "json")).document()

    assert [row[column] for row in rows] == values
    assert len(document) == len(values)


async def test_a_player_is_shown_without_the_ledger(evening: Evening) -> None:
    recent = (await evening.says("player", "PLAYER", "--recent-only", "--output", "json")).document()
    whole = (await evening.says("player", "PLAYER", "--output", "json")).document()

    assert recent == whole


async def test_a_csv_of_several_tables_asks_which_one(evening: Evening) -> None:
    ended = await evening.says("player", "PLAYER", "--output", "csv")

    assert (ended.status, ended.output) == (2, "")
    assert "say --part balances, open_rounds, open_slips or transactions" in ended.errors


async def test_a_round_is_shown_with_its_sums(evening: Evening) -> None:
    answer = await evening.round()
    words = ("round", "r1", "--player", "PLAYER", "--source", "SOURCE", "--game", "g1")

    document = (await evening.says(*words, "--output", "json")).document()
    totals = (await evening.says(*words, "--output", "csv", "--part", "totals")).rows()
    played = (await evening.says(*words, "--output", "csv", "--part", "transactions")).rows()
    lines = (await evening.says(*words)).lines()

    assert document == told(answer)
    assert [(row["currency_code"], row["staked"], row["won"], row["net"]) for row in totals] == [
        ("EUR", "10.50", "25.00", "14.50")
    ]
    assert [row["transaction_id"] for row in played] == ["x2", "b2", "w1", "b1"]
    assert words_of(lines[3]) == ["round_id", "r1"]
    assert words_of(lines[4]) == ["state", "OPEN"]
    assert "Sums of what stands" in lines


async def test_the_newest_transactions_of_a_round_are_told_to_be_not_all(evening: Evening) -> None:
    words = ("round", "r1", "--player", "PLAYER", "--source", "SOURCE", "--game", "g1", "--limit", "1")

    ended = await evening.says(*words, "--output", "json")

    assert [one["transaction_id"] for one in json.loads(ended.output)["transactions"]] == ["x2"]
    assert (ended.status, ended.errors) == (0, "stakehold: there may be more transactions than these.\n")


async def test_a_slip_is_shown(evening: Evening) -> None:
    request = book_pb.GetSlipRequest(
        source_id=evening.seat.source_id, player_id=evening.seat.player_id, slip_id="s1"
    )
    answer = await evening.slips.GetSlip(request, timeout=TIMEOUT_S)
    words = ("slip", "s1", "--player", "PLAYER", "--source", "SOURCE")

    document = (await evening.says(*words, "--output", "json")).document()
    [row] = (await evening.says(*words, "--output", "csv")).rows()
    lines = (await evening.says(*words)).lines()

    assert document == told(answer)
    assert (row["state"], row["staked"], row["live"], row["held"], row["currency_code"]) == (
        "OPEN", "7.00", "7.00", "0.00", "EUR",
    )  # fmt: skip
    assert ["staked", "7.00"] in [words_of(line) for line in lines]


async def test_a_transaction_is_shown(evening: Evening) -> None:
    answer: Message = await evening.seat.look_up("b2")
    words = ("transaction", "b2", "--player", "PLAYER", "--source", "SOURCE")

    document = (await evening.says(*words, "--output", "json")).document()
    [row] = (await evening.says(*words, "--output", "csv")).rows()
    lines = (await evening.says(*words)).lines()

    assert document == told(answer)
    assert (row["state"], row["kind"], row["amount"], row["rollback_transaction_id"]) == (
        "ROLLED_BACK", "BET", "5.00", "x2",
    )  # fmt: skip
    assert words_of(lines[0]) == ["state", "ROLLED_BACK"]


async def test_a_transaction_that_nobody_has_sent_is_told_so(evening: Evening) -> None:
    words = ("transaction", "never", "--player", "PLAYER", "--source", "SOURCE", "--output", "json")

    ended = await evening.says(*words)

    assert ended.status == 1
    assert json.loads(ended.output)["state"] == "TRANSACTION_STATE_NOT_SEEN"
    assert "has sent nothing under never" in ended.errors


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("statement", "nobody", "--currency", "EUR"), "WALLET_NOT_FOUND"),
        (("player", "nobody"), "WALLET_NOT_FOUND"),
        (("round", "none", "--player", "PLAYER", "--source", "SOURCE"), "ROUND_NOT_FOUND"),
        (("slip", "none", "--player", "PLAYER", "--source", "SOURCE"), "SLIP_NOT_FOUND"),
        (("transaction", "b1", "--player", "PLAYER", "--source", "nobody"), "SOURCE_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json", "csv"])
async def test_what_is_not_there_is_a_sentence_and_status_1(
    evening: Evening, words: tuple[str, ...], reason: str, output: str
) -> None:
    ended = await evening.says(*words, "--output", output)

    assert (ended.status, ended.output) == (1, "")
    assert ended.errors.startswith("stakehold: ")
    assert ended.errors.endswith(f" ({reason}).\n")
    assert len(ended.errors.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("statement", "PLAYER", "--currency", "NOPE"),
        ("statement", "ä", "--currency", "EUR"),
        ("statement", "PLAYER"),
        ("entries", "--from", "yesterday"),
        ("entries", "--kind", "present"),
        ("entries", "--limit", "0"),
        ("entries", "--output", "xml"),
        ("round", "r1", "--player", "PLAYER"),
    ],
)
async def test_what_makes_no_sense_is_status_2(evening: Evening, words: tuple[str, ...]) -> None:
    ended = await evening.says(*words)

    assert (ended.status, ended.output) == (2, "")
    assert ended.errors


async def test_of_more_open_rounds_and_slips_than_a_session_has_all_are_told(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await evening.says("player", "PLAYER", "--output", "json")).document()
    await evening.slips.PlaceSlip(slip_request(evening.seat, "s2"), timeout=TIMEOUT_S)
    await evening.drained()
    monkeypatch.setattr("service.operators.players._MOST_AT_ONCE", 1)

    paged = (await evening.says("player", "PLAYER", "--output", "json")).document()

    assert sorted(played["round_id"] for played in paged["open_rounds"]) == ["r1", "r2"]
    assert paged["open_slips"][1] == whole["open_slips"][0]
    assert [slip["slip"]["slip_id"] for slip in paged["open_slips"]] == ["s2", "s1"]
    assert paged["open_slips"][0].keys() == whole["open_slips"][0].keys()
    await evening.seat.one(rollback("xs2", "s2"))
    await evening.drained()
