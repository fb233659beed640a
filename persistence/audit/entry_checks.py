"""Checks entries one by one: does each follow from its content, its postings and its predecessor?"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from persistence.audit.findings import Finding, FindingKind
from persistence.chart_of_accounts import Leg, legs_of
from persistence.hash_chain import FIRST_PREVIOUS_HASH, ChainedEntry, entry_hash, hash_of_erased
from persistence.transactions import CurrencyCode, PlayerId


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it stands in the ledger, with the postings that it has there."""

    chained: ChainedEntry
    legs: tuple[Leg, ...]
    previous_hash: bytes
    hash: bytes


class ChainCheck:
    """Follows one partition's chain, from its first entry on or from a later one.

    Each entry is judged by itself, so that a changed one does not discredit those after it: what follows an
    entry may name either the hash that stands there or the one that should.
    """

    def __init__(
        self, partition: int, *, next_position: int = 0, previous_hash: bytes = FIRST_PREVIOUS_HASH
    ) -> None:
        self._partition = partition
        self._next_position = next_position
        self._predecessors = {previous_hash}

    def skip(self, position: int, *, hash_: bytes) -> None:
        """Passes an entry that cannot be read."""
        self._next_position = position + 1
        self._predecessors = {hash_}

    def check(self, stored: StoredEntry) -> Iterator[Finding]:
        """What is wrong with the chain at this entry, which is the next that there is."""
        position = stored.chained.chain_position
        if position != self._next_position:
            yield self._missing(position, stored)
            self._predecessors = {stored.previous_hash}
        if problem := _metadata_problem(stored):
            yield _broken(stored, problem)
        if stored.chained.is_hash_of_erased:
            yield from self._check_erased(stored)
            return
        computed = entry_hash(stored.previous_hash, stored.chained, stored.legs)
        predecessors = self._predecessors
        self._next_position = position + 1
        self._predecessors = {stored.hash, computed}
        if computed == stored.hash and stored.previous_hash in predecessors:
            return
        for predecessor in predecessors:
            from_predecessor = entry_hash(predecessor, stored.chained, stored.legs)
            self._predecessors.add(from_predecessor)
            if from_predecessor == stored.hash:
                yield _broken(
                    stored,
                    f"its previous hash {stored.previous_hash.hex()} is not its predecessor's, "
                    f"{predecessor.hex()}",
                )
                return
        if computed == stored.hash:
            expected = " or ".join(sorted(hash_.hex() for hash_ in predecessors))
            yield _broken(
                stored,
                f"it follows hash {stored.previous_hash.hex()}, but its predecessor has {expected}",
            )
        else:
            yield _unlike_its_hash(stored, computed)

    def _check_erased(self, stored: StoredEntry) -> Iterator[Finding]:
        """The text that its hash covers is gone: the link is checked, and the hash that keeps the rest."""
        predecessors = self._predecessors
        self._next_position = stored.chained.chain_position + 1
        self._predecessors = {stored.hash}
        if stored.previous_hash not in predecessors:
            expected = " or ".join(sorted(hash_.hex() for hash_ in predecessors))
            yield _broken(
                stored,
                f"it follows hash {stored.previous_hash.hex()}, but its predecessor has {expected}",
            )

    def _missing(self, position: int, stored: StoredEntry) -> Finding:
        first, last = self._next_position, position - 1
        where = (
            f"the entry at chain position {first} is"
            if first == last
            else f"the entries at chain positions {first} to {last} are"
        )
        return Finding(
            FindingKind.CHAIN_BROKEN,
            self._partition,
            f"{where} missing, before {stored.chained.entry_id}",
        )


def check_content(stored: StoredEntry) -> Iterator[Finding]:
    """What is wrong with the entry's own hash, whatever came before it."""
    if problem := _metadata_problem(stored):
        yield _broken(stored, problem)
    if stored.chained.is_hash_of_erased:
        return
    computed = entry_hash(stored.previous_hash, stored.chained, stored.legs)
    if computed != stored.hash:
        yield _unlike_its_hash(stored, computed)


def _metadata_problem(stored: StoredEntry) -> str:
    """What is wrong with metadata that lies beside its seal, or was erased; "" for nothing."""
    chained = stored.chained
    seal, erased = chained.seal, chained.erased
    if erased is not None and erased.erased_hash is not None:
        computed = hash_of_erased(stored.previous_hash, chained, stored.legs)
        if computed != erased.erased_hash:
            return (
                f"its metadata was erased, and what is left has {computed.hex()} instead of "
                f"{erased.erased_hash.hex()}: the entry or one of its postings was changed"
            )
    if seal is None:
        return ""
    if seal.salt is None and erased is None:
        return "its metadata is gone, and no erasure says so"
    return "" if seal.fits(chained.entry.metadata) else "its metadata is not what was sealed: it was changed"


def check_postings(stored: StoredEntry) -> Iterator[Finding]:
    """Whether the postings balance, and are those that follow from the entry."""
    sums: defaultdict[CurrencyCode, int] = defaultdict(int)
    for leg in stored.legs:
        sums[leg.account.currency] += leg.amount
    for currency, excess in sums.items():
        if excess:
            yield finding_about(
                FindingKind.UNBALANCED,
                stored.chained,
                f"its postings sum to {excess} {currency}, not to zero",
            )
    chained = stored.chained
    try:
        expected = legs_of(PlayerId(chained.player), chained.entry)
    except ValueError as error:
        yield finding_about(FindingKind.POSTING_MISMATCH, chained, f"no postings follow from it: {error}")
        return
    if expected != stored.legs:
        yield finding_about(
            FindingKind.POSTING_MISMATCH,
            chained,
            f"its postings are {_named(stored.legs)}, but should be {_named(expected)}",
        )


def finding_about(kind: FindingKind, chained: ChainedEntry, problem: str) -> Finding:
    """A finding that names an entry in its ids and in its sentence."""
    entry = chained.entry
    return Finding(
        kind,
        chained.entry_id.partition,
        f"entry {chained.entry_id} (transaction {entry.transaction_id} of {entry.source}): {problem}",
        entry_id=str(chained.entry_id),
        player_id=chained.player,
        currency=entry.currency or "",
    )


def _broken(stored: StoredEntry, problem: str) -> Finding:
    return finding_about(FindingKind.CHAIN_BROKEN, stored.chained, problem)


def _unlike_its_hash(stored: StoredEntry, computed: bytes) -> Finding:
    return _broken(
        stored,
        f"its hash is {stored.hash.hex()}, but what stands there has {computed.hex()}: the entry, one of its "
        "postings or its hash was changed",
    )


def _named(legs: Sequence[Leg]) -> str:
    return (
        ", ".join(
            " ".join(filter(None, (*_account_words(leg), f"{leg.amount:+d}", leg.account.currency)))
            for leg in legs
        )
        or "none"
    )


def _account_words(leg: Leg) -> tuple[str, str, str]:
    return leg.account.owner_kind, leg.account.owner_id, leg.account.bucket
