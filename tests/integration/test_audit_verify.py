"""``stakehold verify`` as an operator runs it: what it says, and with which status it ends."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from persistence.transactions import PlayerId, TransactionKind
from service.embedded import embedded_valkey
from service.embedded.ports import LOOPBACK, free_port
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.deployment import ROOT, service_environment
from tests.drained_ledger import movement, wallets
from tests.ledgers import Ledgers

ANNA, BOB = PlayerId("anna"), PlayerId("bob")
CLEAN, FOUND, NOT_CHECKED = 0, 1, 2

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger and its store: Anna's wallet is drained, Bob's is ahead."""

    environment: Mapping[str, str]
    dsn: str

    async def verify(self, *options: str, **changed: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error; ``changed`` settings are removed when empty."""
        settings = {**self.environment, **changed}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.cli",
            "verify",
            *options,
            env={name: value for name, value in settings.items() if value},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60.0)
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    async def change_annas_balance(self, by: int) -> None:
        connection = await asyncpg.connect(self.dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute(
            "UPDATE ledger.balances SET balance = balance + $1 "
            "WHERE account_id = (SELECT account_id FROM ledger.accounts WHERE owner_id = 'anna')",
            by,
        )
        await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def books(tmp_path_factory: pytest.TempPathFactory, ledgers: Ledgers) -> AsyncIterator[Books]:
    async with embedded_valkey(tmp_path_factory.mktemp("verify")) as store, ledgers.fresh() as dsn:
        async with wallets(store.url, dsn) as money:
            await money.open(ANNA)
            await money.move(ANNA, movement(TransactionKind.DEPOSIT, "d1", 1_000), source="cashier")
            await money.drain()
            await money.open(BOB)
        yield Books(service_environment(store.url, dsn), dsn)


async def test_honest_books_end_with_status_0_and_a_summary(books: Books) -> None:
    status, output, errors = await books.verify()

    assert (status, errors) == (CLEAN, "")
    assert output == (
        "Checked 2 entries with 2 postings, and 1 hot wallet: nothing is wrong. Not compared, because ahead "
        "of the ledger: 1 wallet. To compare all, run `stakehold drain --until-empty` first.\n"
    )


async def test_cooked_books_end_with_status_1_and_a_line_for_each_finding(books: Books) -> None:
    await books.change_annas_balance(+5)
    try:
        status, output, errors = await books.verify()
        as_json = await books.verify("--format", "json")
        of_bob = await books.verify("--player", BOB)
    finally:
        await books.change_annas_balance(-5)

    assert (status, errors) == (FOUND, "")
    *findings, summary = output.splitlines()
    assert all(re.match(r"BALANCE_MISMATCH in partition \d+: .*anna", finding) for finding in findings)
    assert any("balance 1005, but its postings sum to 1000" in finding for finding in findings)
    assert f"{len(findings)} findings." in summary

    assert as_json[0] == FOUND
    *lines, last = [json.loads(line) for line in as_json[1].splitlines()]
    assert {line["finding"]["kind"] for line in lines} == {"balance_mismatch"}
    assert {line["finding"]["player_id"] for line in lines} == {"anna"}
    assert last["summary"]["finding_count"] == len(findings)

    assert of_bob[0] == CLEAN


async def test_the_store_can_be_left_out(books: Books) -> None:
    status, output, _ = await books.verify("--ledger-only", STAKEHOLD_VALKEY_URL="")

    assert status == CLEAN
    assert output == "Checked 2 entries with 2 postings, and no hot wallets: nothing is wrong.\n"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"STAKEHOLD_POSTGRES_URL": f"postgresql://x:x@{LOOPBACK}:{free_port()}/x"}, "could not verify"),
        ({"STAKEHOLD_VALKEY_URL": f"redis://{LOOPBACK}:{free_port()}/0"}, "could not verify"),
        ({"STAKEHOLD_VALKEY_URL": ""}, "STAKEHOLD_VALKEY_URL"),
        ({"STAKEHOLD_POSTGRES_URL": ""}, "STAKEHOLD_POSTGRES_URL"),
    ],
)
async def test_what_could_not_be_checked_ends_with_status_2_and_a_sentence(
    books: Books, changed: dict[str, str], said: str
) -> None:
    status, output, errors = await books.verify(**changed)

    assert status == NOT_CHECKED
    assert said in errors
    assert "Traceback" not in errors
    assert "nothing is wrong" not in output


async def test_a_player_that_is_no_id_could_not_be_checked(books: Books) -> None:
    status, _, errors = await books.verify("--player", "zoë")

    assert status == NOT_CHECKED
    assert "--player" in errors


async def test_a_database_that_is_no_ledger_could_not_be_checked(books: Books, ledgers: Ledgers) -> None:
    async with ledgers.fresh(template="template1") as empty:
        status, _, errors = await books.verify(STAKEHOLD_POSTGRES_URL=empty)

    assert status == NOT_CHECKED
    assert "stakehold migrate" in errors


async def test_progress_is_shown_on_a_terminal_and_only_there(books: Books) -> None:
    controller, terminal = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.cli",
        "verify",
        env=dict(books.environment),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    output, _ = await asyncio.wait_for(process.communicate(), 60.0)
    shown = os.read(controller, 65536).decode()
    os.close(controller)

    assert "entries" in shown
    assert "\r" in shown
    assert output.decode().count("\n") == 1
    assert b"\r" not in output


async def test_help_says_what_the_statuses_mean(books: Books) -> None:
    status, output, _ = await books.verify("--help")

    assert status == 0
    assert "  1  there are findings\n" in output
    assert "--ledger-only" in output
