"""Rounds that are closed by a call of their own."""

from tests.reference.answers import CallRefused, Refusal, Result
from tests.reference.player import Player
from tests.reference.records import Closing, Fingerprint, Tombstone


def close_round(
    player: Player, source_id: str, transaction_id: str, *, round_id: str, game_id: str
) -> Result:
    """No wallet is looked at. Raises CallRefused."""
    fingerprint = fingerprint_of(round_id, game_id)
    known = player.records.get((source_id, transaction_id))
    if isinstance(known, Tombstone):
        raise _refused("TRANSACTION_ROLLED_BACK", transaction_id, known.rollback_transaction_id)
    if known is not None and not isinstance(known, Closing):
        raise _refused("TRANSACTION_ID_CONFLICT", transaction_id)
    if known is not None:
        if known.fingerprint != fingerprint:
            raise _refused("TRANSACTION_ID_CONFLICT", transaction_id)
        return Result(transaction_id, known.outcome, moved=False, replayed=True)
    key = (source_id, (game_id, round_id))
    outcome = "ALREADY_CLOSED" if key in player.closed_rounds else "APPLIED"
    player.closed_rounds.add(key)
    player.records[source_id, transaction_id] = Closing(fingerprint, outcome)
    return Result(transaction_id, outcome, moved=False)


def fingerprint_of(round_id: str, game_id: str) -> Fingerprint:
    return ("CLOSE_ROUND", "ROUND_CLOSING", "", None, round_id, game_id, "")


def _refused(reason: str, transaction_id: str, *related: str) -> CallRefused:
    about = frozenset(related) if related else None
    return CallRefused(Refusal(reason, transaction_id, 0, remembered=False, related=about))
