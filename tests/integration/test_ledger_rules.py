"""What the database itself enforces, whichever program writes to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from tests.draining import Draining, some_play

APPEND_ONLY = ("entries", "postings", "accounts")
CHANGES = {"entries": "booked_time = now()", "postings": "amount = amount + 1", "accounts": "bucket = 'cash'"}


@pytest.fixture
async def played(books: Draining) -> Draining:
    """A ledger with some play in it."""
    await some_play(books.feed, players=3)
    await books.drain()
    return books


@asynccontextmanager
async def connected_as(books: Draining, role: LedgerRole) -> AsyncIterator[Connection]:
    async with ledger_connection(books.ledger_dsn, role=role, statement_timeout_s=5.0) as connection:
        yield connection


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("operation", ["UPDATE", "DELETE", "TRUNCATE"])
async def test_not_even_the_owner_rewrites_the_ledger(played: Draining, table: str, operation: str) -> None:
    statement = {
        "UPDATE": f"UPDATE ledger.{table} SET {CHANGES[table]}",
        "DELETE": f"DELETE FROM ledger.{table}",
        "TRUNCATE": f"TRUNCATE ledger.{table} CASCADE",
    }[operation]
    before = await played.books()

    with pytest.raises(asyncpg.RestrictViolationError, match="the ledger is append-only") as refused:
        await played.sql.execute(statement)

    assert refused.value.as_dict()["constraint_name"] == "the_ledger_is_append_only"
    assert await played.books() == before


WRITABLE = {
    ("stakehold_writer", "accounts", "INSERT"),
    ("stakehold_writer", "entries", "INSERT"),
    ("stakehold_writer", "slips", "INSERT"),
    ("stakehold_writer", "slips", "UPDATE"),
    ("stakehold_writer", "postings", "INSERT"),
    ("stakehold_writer", "quarantine", "INSERT"),
    ("stakehold_writer", "quarantine", "UPDATE"),
    ("stakehold_writer", "partitions", "UPDATE"),
    ("stakehold_writer", "epochs", "INSERT"),
    ("stakehold_writer", "incidents", "INSERT"),
    ("stakehold_writer", "incidents", "UPDATE"),
    ("stakehold_writer", "repairs", "INSERT"),
    ("stakehold_writer", "salvaged", "INSERT"),
    ("stakehold_writer", "salvaged", "UPDATE"),
    *((("stakehold_writer", "drainers", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    *((("stakehold_writer", "vouchers", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    ("stakehold_registrar", "currencies", "INSERT"),
    ("stakehold_registrar", "currencies", "UPDATE"),
    ("stakehold_registrar", "denominations", "INSERT"),
    ("stakehold_registrar", "sources", "INSERT"),
    ("stakehold_registrar", "sources", "UPDATE"),
    ("stakehold_registrar", "rates", "INSERT"),
    ("stakehold_registrar", "rate_decisions", "INSERT"),
    *((("stakehold_registrar", "pairs", privilege)) for privilege in ("INSERT", "UPDATE")),
    *((("stakehold_registrar", "spreads", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    *((("stakehold_registrar", "pivots", privilege)) for privilege in ("INSERT", "DELETE")),
    *((("stakehold_writer", "open_rounds", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    *((("stakehold_writer", "round_progress", privilege)) for privilege in ("INSERT", "UPDATE")),
    ("stakehold_writer", "reviews", "INSERT"),
    ("stakehold_registrar", "reviews", "UPDATE"),
    *((("stakehold_inbox", "submissions", privilege)) for privilege in ("INSERT", "UPDATE")),
    ("stakehold_inbox", "origins", "INSERT"),
    *((("stakehold_inbox", "commands", privilege)) for privilege in ("INSERT", "UPDATE")),
    *((("stakehold_inbox", "partitions", privilege)) for privilege in ("INSERT", "UPDATE")),
    *((("stakehold_inbox", "workers", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    *((("stakehold_publisher", "publications", privilege)) for privilege in ("INSERT", "UPDATE")),
    *((("stakehold_publisher", "publishers", privilege)) for privilege in ("INSERT", "UPDATE", "DELETE")),
    ("stakehold_cashier", "reviews", "INSERT"),
    *((("stakehold_cashier", "cases", privilege)) for privilege in ("INSERT", "UPDATE")),
    ("stakehold_cashier", "messages", "INSERT"),
    ("stakehold_recorder", "access_log", "INSERT"),
    ("stakehold_writer", "verifications", "INSERT"),
    *((("stakehold_callbacks", "callbacks", privilege)) for privilege in ("INSERT", "UPDATE")),
    *((("stakehold_callbacks", "callback_duplicates", privilege)) for privilege in ("INSERT", "UPDATE")),
    ("stakehold_callbacks", "callback_answers", "INSERT"),
    *((("stakehold_callbacks", "sessions", privilege)) for privilege in ("INSERT", "UPDATE")),
    ("stakehold_writer", "archives", "INSERT"),
    ("stakehold_eraser", "erasures", "INSERT"),
    ("stakehold_eraser", "pruned", "UPDATE"),
    *(("stakehold_pruner", table, "UPDATE") for table in ("pruned", "commands", "salvaged", "quarantine")),
    *(
        ("stakehold_eraser", table, "UPDATE")
        for table in (
            *("entries", "repairs", "salvaged", "quarantine", "reviews"),
            *("commands", "cases", "messages", "callbacks"),
        )
    ),
}
"""All that the roles may do beside reading. What the ledger consists of is never updated, nor deleted, and
neither are rates; what may be erased, test_erasing.py says."""


async def test_the_roles_may_do_what_they_must_and_nothing_else(books: Draining) -> None:
    granted = await books.sql.fetch(
        """
        SELECT role, relname, privilege
        FROM unnest($1::text[]) AS role
        CROSS JOIN (
            SELECT pg_class.oid, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname IN ('ledger', 'registry', 'fx', 'inbox', 'cashier', 'providers') AND relkind = 'r'
        ) AS tables
        CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
        WHERE has_table_privilege(role, oid, privilege)
            OR (privilege IN ('INSERT', 'UPDATE') AND has_any_column_privilege(role, oid, privilege))
        """,
        [str(role) for role in LedgerRole],
    )

    assert {tuple(row) for row in granted} == WRITABLE


async def test_even_the_owner_cannot_change_a_denomination(books: Draining) -> None:
    await books.sql.execute(
        "INSERT INTO registry.currencies (currency_code, display_name, scale, kind, status) "
        "VALUES ('BTC', '', 8, 'crypto', 'enabled') ON CONFLICT DO NOTHING"
    )
    await books.sql.execute(
        "INSERT INTO registry.denominations (denomination_code, currency_code, exponent) "
        "VALUES ('mBTC', 'BTC', -3)"
    )
    for statement in (
        "UPDATE registry.denominations SET exponent = -6",
        "UPDATE registry.denominations SET denomination_code = 'uBTC'",
        "DELETE FROM registry.denominations",
    ):
        with pytest.raises(asyncpg.RestrictViolationError) as refused:
            await books.sql.execute(statement)
        assert refused.value.as_dict()["constraint_name"] == "what_amounts_mean_never_changes"


async def test_a_writer_cannot_set_a_balance(played: Draining) -> None:
    async with connected_as(played, LedgerRole.WRITER) as writer:
        for statement in (
            "UPDATE ledger.balances SET balance = 0",
            "INSERT INTO ledger.balances VALUES (1, 5)",
            "UPDATE ledger.wallets SET version = 7",
            "UPDATE ledger.settings SET partition_count = 2",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute(statement)


ANOTHER_ENTRY = """
    INSERT INTO ledger.entries
    SELECT (jsonb_populate_record(entries, jsonb_build_object(
        'sequence', sequence + 1000,
        'chain_position', chain_position + 1000,
        'transaction_id', $2::text,
        'version', version + $1,
        'wallet_version', version + $1
    ))).*
    FROM ledger.entries WHERE player_id = 'player-1' AND version IS NOT NULL ORDER BY version DESC LIMIT 1
    RETURNING partition, sequence, entry_index
"""


@pytest.mark.parametrize("step", [0, 2, -3])
async def test_a_version_that_does_not_follow_is_refused(played: Draining, step: int) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await played.sql.execute(ANOTHER_ENTRY, step, "new-id")

    assert refused.value.as_dict()["constraint_name"] in {
        "versions_of_a_wallet_are_contiguous",
        "a_wallet_has_each_version_once",
    }


async def test_the_next_version_is_taken_and_the_wallet_follows(played: Draining) -> None:
    version = "SELECT version FROM ledger.wallets WHERE player_id = 'player-1'"
    before = await played.sql.fetchval(version)

    await played.sql.execute(ANOTHER_ENTRY, 1, "new-id")

    assert await played.sql.fetchval(version) == before + 1


async def test_a_transaction_id_is_taken_once(played: Draining) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="a_transaction_id_takes_effect_once"):
        await played.sql.execute(ANOTHER_ENTRY, 1, "deposit")


async def post(sql: Connection, *legs: tuple[str, str, int]) -> None:
    """Posts to an entry of its own: (bucket, currency, amount) of player-1 and of source acme."""
    row = await sql.fetchrow(ANOTHER_ENTRY, 1, "new-id")
    assert row is not None
    found = await sql.fetch(
        "SELECT bucket, account_id FROM ledger.accounts "
        "WHERE partition = $1 AND owner_id IN ('player-1', 'acme')",
        row["partition"],
    )
    accounts = {account["bucket"]: account["account_id"] for account in found}
    await sql.execute(
        "INSERT INTO ledger.postings (partition, epoch, sequence, entry_index, posting_index, account_id, "
        "currency, amount) SELECT $1, 1, $2, $3, place, account, currency, amount "
        "FROM unnest($4::bigint[], $5::text[], $6::numeric[]) WITH ORDINALITY "
        "AS legs (account, currency, amount, place)",
        row["partition"],
        row["sequence"],
        row["entry_index"],
        [accounts[bucket] for bucket, _, _ in legs],
        [currency for _, currency, _ in legs],
        [amount for _, _, amount in legs],
    )


async def test_postings_that_sum_to_zero_are_taken_and_balances_follow(played: Draining) -> None:
    before = await played.balances()

    await post(played.sql, ("cash", "EUR", -5), ("settlement", "EUR", 5))

    after = await played.balances()
    assert after["player player-1 cash EUR"] == before["player player-1 cash EUR"] - 5
    assert after["source acme settlement EUR"] == before["source acme settlement EUR"] + 5


@pytest.mark.parametrize(
    "legs",
    [
        [("cash", "EUR", -5), ("settlement", "EUR", 4)],
        [("cash", "EUR", -5)],
        [("cash", "EUR", -5), ("settlement", "USD", 5)],
    ],
    ids=["one too little", "one leg", "two currencies"],
)
async def test_postings_that_do_not_sum_to_zero_are_refused(
    played: Draining, legs: list[tuple[str, str, int]]
) -> None:
    before = await played.books()

    with pytest.raises(
        asyncpg.CheckViolationError, match=r"sum to -?\d EUR, not to zero|sum to -?5 USD"
    ) as refused:
        async with played.sql.transaction():
            await post(played.sql, *legs)

    assert refused.value.as_dict()["constraint_name"] == "postings_of_an_entry_sum_to_zero"
    assert await played.books() == before


async def test_a_posting_in_another_currency_than_its_account_is_refused(played: Draining) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await post(played.sql, ("cash", "USD", -5), ("settlement", "USD", 5))

    assert refused.value.as_dict()["constraint_name"] == "a_posting_has_its_accounts_currency_and_partition"


@pytest.mark.parametrize(
    ("column", "constraint"),
    [
        ("sequence", "a_posting_is_of_an_entry"),
        ("account_id", "a_posting_has_its_accounts_currency_and_partition"),
    ],
)
async def test_a_posting_of_no_entry_or_to_no_account_is_refused(
    played: Draining, column: str, constraint: str
) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await played.sql.execute(
            "INSERT INTO ledger.postings SELECT (jsonb_populate_record(postings, "
            "jsonb_build_object('posting_index', posting_index + 10, $1::text, 999))).* FROM ledger.postings "
            "WHERE (partition, sequence, entry_index) = "
            "(SELECT partition, sequence, entry_index FROM ledger.postings LIMIT 1)",
            column,
        )

    assert refused.value.as_dict()["constraint_name"] == constraint


async def test_a_posting_of_zero_is_refused(played: Draining) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="a_posting_moves_something"):
        await post(played.sql, ("cash", "EUR", 0), ("settlement", "EUR", 0))


async def test_a_cursor_never_moves_back(played: Draining) -> None:
    async with connected_as(played, LedgerRole.WRITER) as writer:
        with pytest.raises(asyncpg.RestrictViolationError, match="cannot move back"):
            await writer.execute("UPDATE ledger.partitions SET cursor_sequence = 0 WHERE cursor_sequence > 0")


async def test_what_a_currencys_amounts_mean_never_changes(books: Draining) -> None:
    async with connected_as(books, LedgerRole.REGISTRAR) as registrar:
        await registrar.execute(
            "INSERT INTO registry.currencies VALUES ('XTS', 'Test', 2, 'fiat', 'enabled') "
            "ON CONFLICT (currency_code) DO NOTHING"
        )
        await registrar.execute(
            "UPDATE registry.currencies SET display_name = 'Tests' WHERE currency_code = 'XTS'"
        )
        with pytest.raises(asyncpg.RestrictViolationError, match="scale and kind of XTS cannot change"):
            await registrar.execute("UPDATE registry.currencies SET scale = 3 WHERE currency_code = 'XTS'")
