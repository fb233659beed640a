"""Reads the scripts' replies: the other side of ``result_fields`` and ``refusal_fields`` in transact.lua."""

from collections.abc import Sequence

from fx.conversions import Conversion
from persistence.calls import Call, PlayerView, RestoreOutcome, StepResult, TransactionRecord
from persistence.errors import RATE_REASONS, RefusalDetails, RefusalReason, Refused
from persistence.slips import Slip
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    Outcome,
    TransactionId,
    WalletBalance,
    WalletStatus,
)
from persistence.valkey.records import decode_transaction, decode_wallet

_RESULT_FIELD_COUNT = 17

Reply = Sequence[bytes]


def decode_transact_reply(reply: Reply, call: Call, partition: int) -> tuple[StepResult, ...]:
    """One result for each step. Raises Refused, as the script decided."""
    word, *fields = [field.decode() for field in reply]
    if word == "OK":
        return tuple(
            _decode_result(
                step.transaction_id,
                fields[index * _RESULT_FIELD_COUNT : (index + 1) * _RESULT_FIELD_COUNT],
                partition,
            )
            for index, step in enumerate(call.steps)
        )
    details = _decode_refusal(fields, call, partition)
    raise Refused(details, _refusal_context(details, call))


def _decode_result(transaction_id: TransactionId, fields: Sequence[str], partition: int) -> StepResult:
    (
        outcome,
        replayed,
        position,
        booked_ms,
        late,
        receivable_change,
        currency,
        version,
        status,
        cash,
        bonus,
        held,
        receivable,
        wallet_now,
        conversion,
        converted,
        slip,
    ) = fields
    after = now = None
    if currency:
        now = after = decode_wallet(currency, wallet_now)
        if now.version != int(version):
            buckets = Buckets(int(cash), int(bonus), int(held), int(receivable))
            after = WalletBalance(now.currency, int(version), WalletStatus(status), buckets, now.credit_line)
    return StepResult(
        transaction_id,
        Outcome(outcome),
        replayed == "1",
        f"{partition}-{position}",
        int(booked_ms),
        late == "1",
        int(receivable_change or 0),
        after,
        now,
        Conversion.parse(conversion) if conversion else None,
        int(converted or 0),
        Slip.parse(slip) if slip else None,
    )


def _decode_refusal(fields: Sequence[str], call: Call, partition: int) -> RefusalDetails:
    reason, step_index, replayed, position, related, currency, version, status, *rest = fields
    balance = None
    if currency:
        cash, bonus, held, receivable, credit_line = map(int, rest)
        balance = WalletBalance(
            CurrencyCode(currency),
            int(version),
            WalletStatus(status),
            Buckets(cash, bonus, held, receivable),
            credit_line,
        )
    return RefusalDetails(
        reason=RefusalReason(reason),
        transaction_id=call.steps[int(step_index)].transaction_id,
        step_index=int(step_index),
        replayed=replayed == "1",
        balance=balance,
        entry_id=f"{partition}-{position}" if position else "",
        related_transaction_id=related,
    )


def _refusal_context(details: RefusalDetails, call: Call) -> dict[str, str]:
    """What the refused step named, for the reasons that are about it."""
    step = call.steps[details.step_index]
    context: dict[RefusalReason, dict[str, str]] = {
        RefusalReason.WALLET_NOT_FOUND: {
            "player_id": call.player_id,
            "currency_code": step.wallet_currency or step.currency or "",
        },
        RefusalReason.WALLET_AMBIGUOUS: {"player_id": call.player_id},
        **{reason: {"amount_currency_code": step.currency or ""} for reason in RATE_REASONS},
        RefusalReason.REFERENCE_NOT_FOUND: {
            "reference_transaction_id": step.reference,
            "round_id": step.round,
        },
        RefusalReason.REFERENCE_MISMATCH: {"reference_transaction_id": step.reference},
        RefusalReason.BET_ROLLED_BACK: {"reference_transaction_id": step.reference},
        RefusalReason.BET_REFUSED: {"reference_transaction_id": step.reference},
        RefusalReason.ROUND_CLOSED: {"round_id": step.round, "game_id": step.game},
        RefusalReason.SOURCE_DISABLED: {"source_id": call.source.source_id},
        RefusalReason.VERSION_MISMATCH: {"expected_version": str(step.expected_version)},
    }
    return context.get(details.reason, {})


def decode_set_wallet_reply(
    reply: Reply, currency: CurrencyCode
) -> tuple[WalletBalance, bool] | tuple[WalletBalance | None, RefusalReason]:
    """The wallet and whether it changed; or the wallet, if there is one, and why it did not."""
    word, *fields = (field.decode() for field in reply)
    if word == "OK":
        changed, wallet = fields
        return decode_wallet(currency, wallet), changed == "1"
    reason, wallet = fields
    return decode_wallet(currency, wallet) if wallet else None, RefusalReason(reason)


def decode_restore_reply(reply: Reply) -> RestoreOutcome:
    word, *rest = (field.decode() for field in reply)
    if word == "OK":
        return RestoreOutcome.BOOKED if rest == ["1"] else RestoreOutcome.KNOWN
    return RestoreOutcome(word.lower())


def decode_player_reply(reply: Reply, transaction_id: TransactionId | None, partition: int) -> PlayerView:
    """The wallets by currency, and the transaction that was asked for."""
    _, *fields = (field.decode() for field in reply)
    record, pairs = fields[0], fields[1:]
    wallets = {
        currency: decode_wallet(currency, text)
        for currency, text in zip(pairs[0::2], pairs[1::2], strict=True)
    }
    transaction: TransactionRecord | None = None
    if transaction_id is not None:
        transaction = decode_transaction(transaction_id, record, partition, wallets)
    return PlayerView(tuple(wallets[currency] for currency in sorted(wallets)), transaction)
