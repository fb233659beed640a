"""Writes calls as the scripts read them: the other side of ``lua/includes/steps.lua``."""

from binascii import b2a_base64
from hashlib import blake2b

from persistence.calls import Call, Step
from persistence.transactions import SEPARATOR, PlayerId, SourceId, TransactionId

_DIGEST_BYTES = 16
_FINGERPRINT_CHARACTERS = 22  # base64 without its padding


def fingerprint_of(player_id: PlayerId, step: Step) -> str:
    """What identifies a step's payload: two steps with one id must have the same. 22 characters.

    Covers operation, kind, player, currency, amount, game, round and reference; not what a retry may change.
    The text under the digest is unambiguous, as no part can contain the separator.
    """
    payload = SEPARATOR.join(
        (
            step.operation,
            step.kind,
            player_id,
            step.currency or "",
            "" if step.amount is None else str(step.amount),
            step.game,
            step.round,
            step.reference,
        )
    )
    digest = blake2b(payload.encode("ascii"), digest_size=_DIGEST_BYTES).digest()
    return b2a_base64(digest, newline=False)[:_FINGERPRINT_CHARACTERS].decode("ascii")


def id_field(source_id: SourceId, transaction_id: TransactionId) -> str:
    """The field of a transaction id in the player's hash of ids."""
    return f"{source_id}{SEPARATOR}{transaction_id}"


def transact_arguments(call: Call) -> list[str]:
    """ARGV of the script ``transact``, but for the witness in front."""
    source = call.source
    arguments: list[str] = [
        call.player_id,
        source.source_id,
        source.settled_rollback,
        source.unknown_bet,
        source.late_win,
        source.shortfall,
        source.zero_amount,
        source.status,
        str(len(call.steps)),
        "",
    ]
    for step in call.steps:
        arguments += (
            step.operation,
            step.kind,
            step.transaction_id,
            fingerprint_of(call.player_id, step),
            step.currency or "",
            "" if step.amount is None else str(step.amount),
            step.currency_status,
            step.game,
            step.round,
            step.reference,
            "1" if step.closes_round else "",
            "" if step.expected_version is None else str(step.expected_version),
            "" if step.occurred_ms is None else str(step.occurred_ms),
            step.metadata,
        )
    return arguments
