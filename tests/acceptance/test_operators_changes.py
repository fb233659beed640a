"""What operators change by the command line, what is refused them, and what they are told."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from service.embedded.ports import LOOPBACK, free_port
from service.operators import wallets
from service.operators.office import Office, opened_office
from service.operators.refusals import NotDone
from stakehold.v1.admin_service_pb2 import SetWalletStatusRequest
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.transaction_pb2 import WalletBalance
from tests.acceptance.seat import Seat
from tests.deployment import Deployment
from tests.operating import Desk, Ended
from tests.steps import bet, deposit, win
from tests.wallet_api import TIMEOUT_S, new_name

WHY = ("--reason", "as asked in case 77")


@pytest_asyncio.fixture
async def desk(deployment: Deployment) -> AsyncIterator[Desk]:
    yield Desk(deployment.address)


def wallet_of(seat: Seat) -> tuple[str, ...]:
    return (seat.player_id, "--currency", "EUR")


async def reviewed(deployment: Deployment, seat: Seat) -> int:
    """Raises a review as the service does; its id."""
    connection = await asyncpg.connect(deployment.ledger_dsn)
    try:
        number = await connection.fetchval(
            "INSERT INTO ledger.reviews (review_key, kind, partition, player_id, source_id, transaction_id,"
            " action_transaction_id, entry_id, game_id, round_id, description)"
            " VALUES ($1, 'bet_not_swept', 0, $2, $3, 'b1', '', '', 'g1', 'r1', 'it stood too long')"
            " RETURNING review_id",
            new_name("review"),
            seat.player_id,
            seat.source_id,
        )
    finally:
        await connection.close()
    assert isinstance(number, int)
    return number


async def test_a_frozen_wallet_takes_no_bets_until_it_is_unfrozen(desk: Desk, seat: Seat) -> None:
    frozen = (await desk.says("freeze", *wallet_of(seat), *WHY, "--yes", "--output", "json")).document()
    refused = await seat.refused(bet("b1", "1"))
    [again] = (await desk.says("freeze", *wallet_of(seat), *WHY, "--yes", "--output", "csv")).rows()
    lines = (await desk.says("unfreeze", *wallet_of(seat), *WHY, "--yes")).lines()
    await seat.one(bet("b2", "1"))

    assert (frozen["changed"], frozen["balance"]["status"]) == (True, "WALLET_STATUS_DEBITS_FROZEN")
    assert refused.reason == "WALLET_FROZEN"
    assert (again["changed"], again["status"], again["cash"]) == ("false", "DEBITS_FROZEN", "100.00")
    assert lines[2].split() == ["status", "ACTIVE"]


async def test_the_reason_stands_in_the_ledger(desk: Desk, seat: Seat, deployment: Deployment) -> None:
    await desk.says("close", *wallet_of(seat), *WHY, "--yes")
    await deployment.require_agreement()

    rows = (await desk.says("entries", "--player", seat.player_id, "--output", "csv")).rows()

    assert rows[-1]["entry_type"] == "STATUS_CHANGED"
    assert "as asked in case 77" in rows[-1]["metadata"]


async def test_a_closed_wallet_is_not_opened_by_being_frozen_or_unfrozen(desk: Desk, seat: Seat) -> None:
    await desk.says("close", *wallet_of(seat), *WHY, "--yes")

    frozen = await desk.says("freeze", *wallet_of(seat), *WHY, "--yes")
    unfrozen = await desk.says("unfreeze", *wallet_of(seat), *WHY, "--yes")

    for ended in (frozen, unfrozen):
        assert (ended.status, ended.output) == (1, "")
        assert ended.errors == (
            f"stakehold: player {seat.player_id}'s EUR wallet is CLOSED: nothing was done.\n"
        )
    assert (await seat.refused(deposit("d1", "1"))).reason == "WALLET_CLOSED"
    opened = await desk.says("unfreeze", *wallet_of(seat), *WHY, "--yes", "--closed", "--output", "json")
    assert opened.document()["balance"]["status"] == "WALLET_STATUS_ACTIVE"


async def test_a_wallet_in_play_is_frozen_all_the_same(desk: Desk, seat: Seat) -> None:
    is_over = asyncio.Event()

    async def play() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            await seat.one(win(f"w{number}", "0.01") if number % 2 else deposit(f"d{number}", "0.01"))

    player = asyncio.create_task(play())
    try:
        ended = await desk.says("freeze", *wallet_of(seat), *WHY, "--yes")
    finally:
        is_over.set()
        await player

    assert ended.status == 0, ended.errors
    assert (await seat.balance()).status == "DEBITS_FROZEN"


async def test_a_wallet_that_is_closed_meanwhile_is_not_opened_by_being_frozen(
    desk: Desk, seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    look = wallets.find_wallet

    def closed_after_the_first_look(office: Office, player_id: str, currency_code: str) -> WalletBalance:
        wallet = look(office, player_id, currency_code)
        seen.append(wallet.status)
        if len(seen) == 1:
            request = SetWalletStatusRequest(
                player_id=player_id, currency_code=currency_code, status=wallets.CLOSED
            )
            office.change(AdminServiceStub(office.channel).SetWalletStatus, request)
        return wallet

    monkeypatch.setattr(wallets, "find_wallet", closed_after_the_first_look)

    with opened_office(desk.address, TIMEOUT_S) as office, pytest.raises(NotDone, match="is CLOSED"):
        await asyncio.to_thread(
            wallets.set_status,
            office,
            seat.player_id,
            "EUR",
            wallets.FROZEN,
            reason="by a test",
            only_from=(wallets.ACTIVE, wallets.FROZEN),
        )

    assert seen == [wallets.ACTIVE, wallets.CLOSED]
    assert (await seat.balance()).status == "CLOSED"


async def test_nothing_is_done_unless_somebody_says_yes(desk: Desk, seat: Seat) -> None:
    refused = await desk.says("freeze", *wallet_of(seat), *WHY, typed="n\n")
    alone = await desk.says("freeze", *wallet_of(seat), *WHY)

    assert (refused.status, refused.output) == (1, "")
    assert f"Freeze {seat.player_id}'s EUR wallet (ACTIVE, 100.00 cash, 0.00 held)?" in refused.errors
    assert refused.errors.endswith("stakehold: nothing was done.\n")
    assert alone.status == 2
    assert "--yes" in alone.errors
    assert (await seat.balance()).status == "ACTIVE"
    meant = await desk.says("freeze", *wallet_of(seat), *WHY, "--output", "json", typed="y\n")
    assert json.loads(meant.output)["changed"]
    assert (await seat.balance()).status == "DEBITS_FROZEN"


async def test_a_wallet_that_is_not_there_is_not_frozen(desk: Desk, seat: Seat) -> None:
    for words in (("nobody", "--currency", "EUR"), (seat.player_id, "--currency", "USD")):
        ended = await desk.says("freeze", *words, *WHY, "--yes")

        assert (ended.status, ended.output) == (1, "")
        assert ended.errors.endswith(" (WALLET_NOT_FOUND).\n")


async def test_a_review_is_listed_resolved_once_and_listed_among_all(
    desk: Desk, seat: Seat, deployment: Deployment
) -> None:
    number = str(await reviewed(deployment, seat))
    mine = ("reviews", "list", "--player", seat.player_id)
    resolve = ("reviews", "resolve", number, "--note", "paid by hand", "--yes")

    [open_one] = (await desk.says(*mine, "--output", "csv")).rows()
    done = (await desk.says(*resolve, "--by", "eve", "--output", "json")).document()
    again = await desk.says(*resolve, "--by", "eve")
    other = await desk.says(*resolve, "--by", "bob")
    left = (await desk.says(*mine, "--output", "json")).document()
    [kept] = (await desk.says(*mine, "--all", "--output", "json")).document()
    table = (await desk.says(*mine, "--all")).lines()

    assert (open_one["review_id"], open_one["kind"], open_one["description"]) == (
        number, "BET_NOT_SWEPT", "it stood too long",
    )  # fmt: skip
    assert (done["review"]["resolved_by"], done["review"]["note"]) == ("eve", "paid by hand")
    assert again.status == 0
    assert (other.status, other.output) == (1, "")
    assert other.errors.endswith(" (REVIEW_RESOLVED).\n")
    assert left == []
    assert kept == done["review"]
    assert table[1].split()[0] == number


async def test_a_review_that_is_not_there_is_not_resolved(desk: Desk) -> None:
    ended = await desk.says("reviews", "resolve", "999999", "--by", "eve", "--note", "x", "--yes")

    assert ended.status == 1
    assert ended.errors.endswith(" (REVIEW_NOT_FOUND).\n")


async def test_as_a_program_it_says_so_by_its_exit_status(desk: Desk, seat: Seat) -> None:
    shown = await desk.runs("player", seat.player_id, "--output", "json")
    nobody = await desk.runs("player", "nobody")
    nonsense = await desk.runs("statement", seat.player_id, "--currency", "?")
    alone = await desk.runs("close", *wallet_of(seat), *WHY)

    assert [ended.status for ended in (shown, nobody, nonsense, alone)] == [0, 1, 2, 2]
    assert json.loads(shown.output)["balances"][0]["cash"] == "100.00"
    assert (await seat.balance()).status == "ACTIVE"


READING = ("player", "ada")
CHANGING = ("dead-letters", "redrive", "s1", "--source", "games", "--yes")


@pytest.mark.parametrize("words", [READING, CHANGING])
async def test_a_service_that_is_away_is_a_sentence_and_status_3(words: tuple[str, ...]) -> None:
    nobody = Desk(f"{LOOPBACK}:{free_port()}")

    told_by_process: Ended = await nobody.runs(*words)
    told = await nobody.says(*words)

    for ended in (told, told_by_process):
        assert (ended.status, ended.output) == (3, "")
        assert ended.errors.startswith(f"stakehold: nobody answers at {nobody.address}.")
        assert len(ended.errors.splitlines()) == 1
        assert ("Whether it was done is not known" in ended.errors) == (words is CHANGING)


async def test_an_answer_that_does_not_come_in_time_is_status_3() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:  # takes connections, and says nothing
        ended = await Desk(f"{LOOPBACK}:{silent.getsockname()[1]}").says(
            "player", "ada", "--timeout-s", "0.2"
        )

    assert (ended.status, ended.output) == (3, "")
    assert "no answer from" in ended.errors or "nobody answers at" in ended.errors


async def test_a_deadline_that_the_service_finds_over_is_status_3(desk: Desk) -> None:
    ended = await desk.says("player", "ada", "--timeout-s", "0.000001")

    assert ended.status == 3
    assert "no answer from" in ended.errors or "DEADLINE_EXCEEDED" in ended.errors
