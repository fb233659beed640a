"""Migrations only add: the release before goes on with the schema of the one after (docs/upgrading.md)."""

import re
from collections.abc import Iterator, Mapping

import pytest

from persistence.postgres.migrating import Migration, all_migrations

RELEASED = 20
"""The last migration of 0.1.0: what came before it had no release to get along with."""

CONTRACTIONS: Mapping[int, str] = {30: "0.1.0"}
"""Migrations that take something away, and the release that was the last one to use it; or the last one,
where none has ever used it."""

_TAKEN_AWAY = {
    "a table, column, function or other object is dropped": r"\bDROP\s+(?!CONSTRAINT|TRIGGER|POLICY)[A-Z]+\b",
    "something is renamed": r"\bRENAME\b",
    "a column gets another type": r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "a column may not be empty any more": r"\bSET\s+NOT\s+NULL\b",
    "a default is gone": r"\bDROP\s+DEFAULT\b",
    "rows are deleted": r"\b(DELETE\s+FROM|TRUNCATE)\s+\w+\.\w+\s*(;|WHERE)",
    "a role may do less": r"\bREVOKE\b(?![^;]*\bFROM\s+PUBLIC\b)",
}
_REPLACED = r"\bDROP\s+(?P<kind>CONSTRAINT|TRIGGER|POLICY)\s+(IF\s+EXISTS\s+)?(?P<name>\w+)"


def taken_away(statements: str) -> Iterator[str]:
    """What a migration takes away from code that does not know it."""
    text = without_bodies(statements)
    for what, pattern in _TAKEN_AWAY.items():
        if found := re.search(pattern, text, re.IGNORECASE):
            yield f"{what}: {found[0]}"
    for dropped in re.finditer(_REPLACED, text, re.IGNORECASE):
        # Dropped to be made anew, wider than before.
        again = rf"\b(ADD|CREATE)\s+(CONSTRAINT\s+)?(TRIGGER\s+)?(POLICY\s+)?{dropped['name']}\b"
        if not re.search(again, text, re.IGNORECASE):
            yield f"a rule is dropped and not made anew: {dropped[0]}"
    for added in re.finditer(r"\bADD\s+COLUMN\s+(?P<column>[^,;]+)", text, re.IGNORECASE):
        column = added["column"].upper()
        if "NOT NULL" in column and "DEFAULT" not in column and "GENERATED" not in column:
            yield f"old code does not fill a new column: {added['column'].strip()}"


def without_bodies(statements: str) -> str:
    """Without comments, texts and functions' bodies: what these do is their own business."""
    text = re.sub(r"--[^\n]*", "", statements)
    text = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", text, flags=re.DOTALL)
    return re.sub(r"'(?:[^']|'')*'", "''", text)


@pytest.mark.parametrize(
    "migration",
    [migration for migration in all_migrations() if migration.number > RELEASED],
    ids=lambda migration: f"{migration.number:04}_{migration.name}",
)
def test_a_migration_takes_nothing_away(migration: Migration) -> None:
    if migration.number in CONTRACTIONS:
        return

    assert list(taken_away(migration.statements)) == []


def test_a_contraction_says_which_release_it_waited_for() -> None:
    assert CONTRACTIONS.keys() <= {migration.number for migration in all_migrations()}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", release) for release in CONTRACTIONS.values())


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE ledger.entries;",
        "ALTER TABLE ledger.entries DROP COLUMN metadata;",
        "DROP FUNCTION ledger.of();",
        "ALTER TABLE ledger.entries RENAME COLUMN a TO b;",
        "ALTER TABLE ledger.entries ALTER COLUMN a TYPE text;",
        "ALTER TABLE ledger.entries ALTER COLUMN a SET DATA TYPE text;",
        "ALTER TABLE ledger.entries ALTER a SET NOT NULL;",
        "ALTER TABLE ledger.entries ALTER a DROP DEFAULT;",
        "ALTER TABLE ledger.entries ADD COLUMN a integer NOT NULL;",
        "ALTER TABLE ledger.entries ADD COLUMN a integer DEFAULT 1, ADD COLUMN b text NOT NULL;",
        "ALTER TABLE ledger.entries DROP CONSTRAINT a_rule;",
        "REVOKE INSERT ON ledger.entries FROM stakehold_writer;",
        "DELETE FROM ledger.entries WHERE true;",
        "TRUNCATE ledger.entries;",
    ],
)
def test_what_takes_away_is_found(statement: str) -> None:
    assert list(taken_away(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE ledger.more (a integer NOT NULL);",
        "ALTER TABLE ledger.entries ADD COLUMN a integer NOT NULL DEFAULT 1;",
        "ALTER TABLE ledger.entries ADD COLUMN a text;",
        "ALTER TABLE t DROP CONSTRAINT a_rule; ALTER TABLE t ADD CONSTRAINT a_rule CHECK (a IN ('x', 'y'));",
        "DROP TRIGGER a_rule ON t; CREATE TRIGGER a_rule BEFORE UPDATE ON t EXECUTE FUNCTION f();",
        "REVOKE ALL ON FUNCTION ledger.more() FROM PUBLIC;",
        "COMMENT ON TABLE t IS 'DROP TABLE is not meant'; -- DROP TABLE neither",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM ledger.more WHERE old; $$;",
    ],
)
def test_what_only_adds_is_let_through(statement: str) -> None:
    assert list(taken_away(statement)) == []
