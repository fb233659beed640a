"""A slip's money is what was moved for it, wallets hold what slips hold, and each deadline is kept, once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from persistence.slips import Slip, SlipState
from tests.faults.books import Amounts, Books, Entry, SlipName, Wallet
from tests.faults.checks.case import Breach, Case, Violation

EXPIRED_WITHIN_MS = 20_000
"""How long after its deadline a hold has to be given back, once nothing is broken any more."""


def check_slips(case: Case) -> Iterator[Violation]:
    slips = case.books.slips()
    for name, life in slips.items():
        yield from _check_life(name, life)
        yield from _check_expiries(name, life)
        yield from _check_end(case.books, name, life[-1][1])
    for wallet, entries in case.books.lives().items():
        yield from _check_held(wallet, entries)


def _check_life(name: SlipName, life: Sequence[tuple[Entry, Slip]]) -> Iterator[Violation]:
    moved = Amounts()
    for version, (entry, slip) in enumerate(life, start=1):
        moved = moved.plus(entry.change)
        if slip.version != version:
            yield Violation(Breach.VERSION_GAP, f"{name}: {entry.place} has version {slip.version}")
            return
        if moved.held != slip.held or moved.cash + moved.held - moved.receivable != _given(slip):
            yield Violation(
                Breach.SLIP_UNBALANCED, f"{name}, version {version}: {moved} was moved, it says {slip}"
            )
            return


def _given(slip: Slip) -> int:
    """What the player got by all that the slip has been through, less what was staked."""
    if slip.state is SlipState.CANCELLED:
        return 0
    given_back = slip.live if slip.state is SlipState.VOIDED else 0
    return slip.paid + slip.cashed + given_back - slip.staked


def _check_expiries(name: SlipName, life: Sequence[tuple[Entry, Slip]]) -> Iterator[Violation]:
    before: Slip | None = None
    for entry, slip in life:
        if entry.operation == "expire":
            held = before.held if before else 0
            is_due = slip.expires_ms is not None and entry.booked_ms >= slip.expires_ms
            if not held or entry.change.held != -held or not is_due:
                yield Violation(Breach.EXPIRED_WRONGLY, f"{name}: {entry}, before {before}")
        before = slip


def _check_end(books: Books, name: SlipName, slip: Slip) -> Iterator[Violation]:
    shown = books.hot_slips.get(name)
    if shown is not None and shown != (slip.version, slip.state.upper()):
        yield Violation(Breach.HOT_DIFFERS, f"{name} is shown as {shown}, the ledger has {slip}")
    is_over = slip.expires_ms is not None and slip.expires_ms + EXPIRED_WITHIN_MS < books.read_ms
    if slip.state is SlipState.HELD and is_over:
        yield Violation(Breach.NOT_EXPIRED, f"{name}: {slip}, read at {books.read_ms}")


def _check_held(wallet: Wallet, life: Sequence[Entry]) -> Iterator[Violation]:
    held: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in life:
        if entry.slip:
            slip = Slip.parse(entry.slip)
            held[entry.source, slip.slip_id] = slip.held
        by_slips = sum(held.values())
        if entry.after is not None and entry.after.held != by_slips:
            yield Violation(
                Breach.HELD_DIFFERS,
                f"{wallet}, version {entry.version}: holds {entry.after.held}, its slips {by_slips}",
            )
            return
