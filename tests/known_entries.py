"""Entries as the ledger knows them, and what is folded of them in few words."""

from dataclasses import replace

from persistence.player_memory import KnownEntry, Texts, fold
from persistence.transactions import SEPARATOR, EntryType, Operation, TransactionKind
from persistence.valkey.records import transaction_fields

FIRST_MS = 1000
GAMES, SLOTS = "games", "slots"


def entry(
    transaction_id: str,
    operation: Operation | None,
    kind: TransactionKind | None,
    *,
    type_: EntryType = EntryType.APPLIED,
    round_: str = "",
    of: str = "",
    closes_round: bool = False,
    source: str = GAMES,
) -> KnownEntry:
    return KnownEntry(
        chain_position=0,
        type=type_,
        position="",
        booked_ms="",
        source=source,
        transaction_id=transaction_id,
        operation=operation or "",
        kind=kind or "",
        game="g" if round_ else "",
        round=round_,
        reference=of,
        closes_round=closes_round,
    )


def bet(name: str, round_: str = "", *, closes: bool = False, source: str = GAMES) -> KnownEntry:
    return entry(
        name, Operation.DEBIT, TransactionKind.BET, round_=round_, closes_round=closes, source=source
    )


def win(
    name: str, *, of: str = "", round_: str = "", closes: bool = False, source: str = GAMES
) -> KnownEntry:
    return entry(
        name,
        Operation.CREDIT,
        TransactionKind.WIN,
        of=of,
        round_=round_,
        closes_round=closes,
        source=source,
    )


def other(
    name: str,
    operation: Operation,
    kind: TransactionKind,
    *,
    of: str = "",
    round_: str = "",
    closes: bool = False,
) -> KnownEntry:
    return entry(name, operation, kind, of=of, round_=round_, closes_round=closes)


def undone(name: str, original: KnownEntry) -> KnownEntry:
    """The rollback of an entry: it has its original's kind, game and round."""
    return replace(
        original,
        operation=Operation.ROLLBACK,
        transaction_id=name,
        reference=original.transaction_id,
        closes_round=False,
    )


def closing(name: str, round_: str) -> KnownEntry:
    return entry(
        name,
        Operation.CLOSE_ROUND,
        TransactionKind.ROUND_CLOSING,
        type_=EntryType.ROUND_CLOSED,
        round_=round_,
        closes_round=True,
    )


def refused(refusal: KnownEntry) -> KnownEntry:
    return replace(refusal, type=EntryType.REFUSED)


def forestalled(name: str, original: str, *, source: str = GAMES) -> tuple[KnownEntry, KnownEntry]:
    """A rollback that came first, and the tombstone that it leaves."""
    rollback = entry(
        name,
        Operation.ROLLBACK,
        TransactionKind.ROLLBACK,
        type_=EntryType.NO_MOVEMENT,
        of=original,
        source=source,
    )
    tombstone = entry(original, None, None, type_=EntryType.TOMBSTONE, source=source)
    return rollback, replace(tombstone, related=name)


def told(*entries: KnownEntry) -> Texts:
    """Folds entries as if each were a record of its own, a millisecond after the one before."""
    return fold(
        replace(entry, chain_position=number, position=f"1-{number}-0", booked_ms=str(FIRST_MS + number))
        for number, entry in enumerate(entries)
    )


def shown_ids(texts: Texts) -> dict[str, str]:
    """State, wins and related of each id, without the source ``games``."""
    shown = {}
    for field, text in texts.ids.items():
        record = transaction_fields(text)
        shown[name_of(field)] = f"{record['state']} {record['wins']} {record['related']}".rstrip()
    return shown


def shown_rounds(texts: Texts) -> dict[str, str]:
    """State, bets, live bets, wins, unattributed wins, used time, locks and closed time of each round."""
    return {
        name_of(field).removeprefix("g:"): text.replace(SEPARATOR, " ")
        for field, text in texts.rounds.items()
    }


def name_of(field: str) -> str:
    return field.removeprefix(GAMES + SEPARATOR).replace(SEPARATOR, ":")
