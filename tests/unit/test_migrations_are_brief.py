"""A migration has its locks for a blink: it looks through no table that has grown with play.

While it did, who writes to the table would wait; and the locks of its other statements are held for as long.
A rule is added NOT VALID, a column without a rule of its own, and rows are filled by a process, not by a
migration. An index is built at once with its table.
"""

import re
from collections.abc import Iterator, Mapping

import pytest

from persistence.postgres.migrating import Migration, all_migrations
from tests.unit.test_migrations_expand import RELEASED, without_bodies

SMALL = frozenset(
    {
        *("ledger.settings", "ledger.partitions", "ledger.epochs", "ledger.drainers", "ledger.vouchers"),
        *("ledger.publications", "ledger.publishers", "ledger.round_progress", "inbox.partitions"),
        *("inbox.workers", "fx.pairs", "fx.pivots", "fx.spreads", "fx.quote_keys"),
        *("registry.currencies", "registry.denominations", "registry.sources"),
    }
)
"""A row for each partition, process, currency, pair or source; all other tables grow with play."""

BRIEF_ENOUGH: Mapping[int, str] = {
    28: "an index of inbox.submissions, which has a row for a submission, not for a command",
}
"""Migrations that do it all the same, and why it does not take long."""

_CREATED = r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<table>\w+\.\w+)"
_INDEXED = r"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\bON\s+(?:ONLY\s+)?(?P<table>\w+\.\w+)"
_FILLED = r"^\s*UPDATE\s+(?:ONLY\s+)?(?P<table>\w+\.\w+)"
_ALTERED = r"^\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>\w+\.\w+)(?P<actions>.*)$"
_LOOKS_THROUGH = {
    "a rule is checked of all rows": r"\bADD\s+CONSTRAINT\b(?!.*\bNOT\s+VALID\s*$)",
    "a rule is checked of all rows at once": r"\bVALIDATE\s+CONSTRAINT\b",
    "a new column has a rule": r"\bADD\s+COLUMN\b.*\b(CHECK|REFERENCES|UNIQUE|PRIMARY\s+KEY)\b",
    "a new column is computed": r"\bADD\s+COLUMN\b.*\b(GENERATED|DEFAULT\s+[\w.]+\s*\()",
    "a column may not be empty any more": r"\bSET\s+NOT\s+NULL\b",
    "a column gets another type": r"\bTYPE\b",
}


def tables(migrations: Iterator[Migration]) -> set[str]:
    return {
        created["table"].lower()
        for migration in migrations
        for created in re.finditer(_CREATED, without_bodies(migration.statements), re.IGNORECASE)
    }


def grown() -> set[str]:
    """Tables that a ledger of the release before has, and that may be large."""
    return tables(migration for migration in all_migrations() if migration.number <= RELEASED) - SMALL


def looked_through(statements: str, large: set[str]) -> Iterator[str]:
    """What a migration does for which it has to go through all rows of a large table."""
    for statement in without_bodies(statements).split(";"):
        for what, pattern in (("an index is built", _INDEXED), ("rows are filled", _FILLED)):
            found = re.search(pattern, statement, re.IGNORECASE | re.DOTALL)
            if found and found["table"].lower() in large:
                yield f"{what}: {found['table']}"
        altered = re.search(_ALTERED, statement, re.IGNORECASE | re.DOTALL)
        if altered and altered["table"].lower() in large:
            for action in actions_of(altered["actions"]):
                for what, pattern in _LOOKS_THROUGH.items():
                    if re.search(pattern, action, re.IGNORECASE | re.DOTALL):
                        yield f"{what}: {altered['table']} {' '.join(action.split())}"


def actions_of(text: str) -> Iterator[str]:
    """Of an ALTER TABLE: its parts between commas that are in no brackets."""
    depth, action = 0, ""
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield action
            action = ""
        else:
            action += letter
    yield action


def test_small_tables_are_tables() -> None:
    assert tables(iter(all_migrations())) >= SMALL
    assert {"ledger.entries", "ledger.postings", "inbox.commands"} <= grown()


@pytest.mark.parametrize(
    "migration",
    [migration for migration in all_migrations() if migration.number > RELEASED],
    ids=str,
)
def test_a_migration_looks_through_no_large_table(migration: Migration) -> None:
    found = list(looked_through(migration.statements, grown()))

    assert bool(found) == (migration.number in BRIEF_ENOUGH), found


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX more ON ledger.entries (game_id);",
        "CREATE UNIQUE INDEX more ON ledger.entries (game_id) WHERE game_id IS NOT NULL;",
        "ALTER TABLE ledger.entries ADD COLUMN more text CHECK (more <> '');",
        "ALTER TABLE ledger.entries ADD COLUMN more uuid DEFAULT gen_random_uuid();",
        "ALTER TABLE ledger.entries ADD COLUMN more bigint GENERATED ALWAYS AS IDENTITY;",
        "ALTER TABLE ledger.entries ADD COLUMN a text, ADD CONSTRAINT a_rule CHECK (a IN ('x', 'y'));",
        "ALTER TABLE ledger.entries ADD CONSTRAINT a CHECK (b), ADD CONSTRAINT c CHECK (d) NOT VALID;",
        "ALTER TABLE ledger.entries ADD CONSTRAINT a_rule FOREIGN KEY (a) REFERENCES ledger.b;",
        "ALTER TABLE ledger.entries VALIDATE CONSTRAINT a_rule;",
        "ALTER TABLE ledger.entries ALTER COLUMN a TYPE bigint;",
        "UPDATE ledger.entries SET a = 1;",
    ],
)
def test_what_looks_through_a_large_table_is_found(statement: str) -> None:
    assert list(looked_through(statement, {"ledger.entries"}))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE ledger.entries ADD COLUMN a text, ADD COLUMN b integer NOT NULL DEFAULT 1;",
        "ALTER TABLE ledger.entries ADD COLUMN a text, ADD CONSTRAINT a_rule CHECK (a <> '') NOT VALID;",
        "CREATE INDEX more ON ledger.small (a); UPDATE ledger.small SET a = 1;",
        "CREATE TABLE ledger.more (a bigint REFERENCES ledger.entries);",
        "CREATE TRIGGER more BEFORE UPDATE ON ledger.entries FOR EACH ROW EXECUTE FUNCTION f();",
        "GRANT UPDATE (a) ON ledger.entries TO stakehold_writer;",
    ],
)
def test_what_takes_a_blink_is_let_through(statement: str) -> None:
    assert list(looked_through(statement, {"ledger.entries"})) == []
