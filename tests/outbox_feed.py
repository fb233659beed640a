"""Fills outboxes without the engine, in the format that persistence/outbox.py documents.

A wallet here is what a test wants it to be: records that the engine never writes can be written too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from persistence.outbox import ENTRY_FIELDS, FORMAT
from persistence.transactions import SEPARATOR, PlayerId, partition_of
from persistence.valkey.keys import outbox_key

FIRST_BOOKED_MS = 1_767_225_600_000

EntryTexts = Mapping[str, str]


def entry(**texts: str) -> dict[str, str]:
    """An entry's fields; what is not named is empty, and changes are zero."""
    changes = {f"{bucket}_change": "0" for bucket in ("cash", "bonus", "held", "receivable")}
    unknown = texts.keys() - set(ENTRY_FIELDS)
    assert not unknown, f"not fields of an entry: {unknown}"
    return {**changes, **texts}


def encode_entry(texts: EntryTexts) -> str:
    return SEPARATOR.join(texts.get(name, "") for name in ENTRY_FIELDS)


def record_fields(
    player: str, entries: Sequence[EntryTexts], *, booked_ms: int = FIRST_BOOKED_MS
) -> list[str]:
    """A record's names and values in turn."""
    fields = ["format", FORMAT, "time", str(booked_ms), "player", player]
    for texts in entries:
        fields += ["entry", encode_entry(texts)]
    return fields


@dataclass(slots=True)
class FedWallet:
    """A wallet that keeps count: each method returns the next entry and remembers what the wallet became."""

    player: str
    currency: str = "EUR"
    source: str = "acme"
    version: int = 0
    status: str = "active"
    balances: dict[str, int] = field(
        default_factory=lambda: {"cash": 0, "bonus": 0, "held": 0, "receivable": 0}
    )

    def opened(self) -> dict[str, str]:
        return self._advanced(
            type="wallet_opened",
            source="stakehold",
            transaction_id=f"open-{self.currency}",
            currency=self.currency,
        )

    def applied(
        self, transaction_id: str, kind: str, *, operation: str = "", amount: int = 0, **changes: int
    ) -> dict[str, str]:
        """``changes`` are of cash, bonus, held and receivable."""
        for bucket, change in changes.items():
            self.balances[bucket] += change
        debits = changes.get("cash", 0) < 0
        return self._advanced(
            type="applied",
            operation=operation or ("debit" if debits else "credit"),
            source=self.source,
            transaction_id=transaction_id,
            kind=kind,
            fingerprint=f"fingerprint of {transaction_id}",
            currency=self.currency,
            amount=str(amount or abs(changes.get("cash", 0))),
            outcome="applied",
            **{f"{bucket}_change": str(change) for bucket, change in changes.items()},
        )

    def refused(self, transaction_id: str, kind: str, *, reason: str, amount: int) -> dict[str, str]:
        return entry(
            type="refused",
            operation="debit",
            source=self.source,
            transaction_id=transaction_id,
            kind=kind,
            fingerprint=f"fingerprint of {transaction_id}",
            currency=self.currency,
            amount=str(amount),
            reason=reason,
            **self._wallet(),
        )

    def _advanced(self, **texts: str) -> dict[str, str]:
        self.version += 1
        return entry(**texts, version=str(self.version), **self._wallet())

    def _wallet(self) -> dict[str, str]:
        return {
            **{f"{bucket}_after": str(balance) for bucket, balance in self.balances.items()},
            "wallet_version": str(self.version),
            "wallet_status": self.status,
            "credit_line": "0",
        }


class OutboxFeed:
    """Appends records to the partitions' streams, as the scripts do, in the ``epoch`` that is set."""

    def __init__(self, client: Redis, *, partition_count: int = 16) -> None:
        self.client = client
        self.partition_count = partition_count
        self.epoch = 1
        self._pipeline = client.pipeline(transaction=False)

    def partition_of(self, player: str) -> int:
        return partition_of(PlayerId(player), self.partition_count)

    async def add(self, player: str, *entries: EntryTexts, booked_ms: int = FIRST_BOOKED_MS) -> str:
        """One record with these entries; its stream id."""
        self.add_later(player, *entries, booked_ms=booked_ms)
        (stream_id,) = await self.flush()
        return stream_id

    def add_later(self, player: str, *entries: EntryTexts, booked_ms: int = FIRST_BOOKED_MS) -> None:
        """As ``add``, but sent with the next ``flush``."""
        fields = record_fields(player, entries, booked_ms=booked_ms)
        outbox = outbox_key(self.partition_of(player))
        self._pipeline.execute_command("XADD", outbox, f"{self.epoch}-*", *fields)

    async def flush(self) -> list[str]:
        return [stream_id.decode() for stream_id in await self._pipeline.execute()]

    async def add_raw(self, partition: int, fields: Sequence[str | bytes], *, stream_id: str = "1-*") -> str:
        """Whatever a test wants to stand in the stream."""
        self._pipeline.execute_command("XADD", outbox_key(partition), stream_id, *fields)
        (added,) = await self.flush()
        return added

    async def lengths(self) -> list[int]:
        """How many records wait in each partition."""
        return [await self.client.xlen(outbox_key(partition)) for partition in range(self.partition_count)]
