"""Each wallet's versions follow each other, its balances are sums, and the hot copy is the same."""

from collections.abc import Iterator, Sequence

from tests.faults.books import Amounts, Books, Entry, Wallet
from tests.faults.checks.case import Breach, Case, Violation


def check_wallets(case: Case) -> Iterator[Violation]:
    for wallet, life in case.books.lives().items():
        yield from _check_life(wallet, life)
    yield from _check_hot(case.books)


def _check_life(wallet: Wallet, life: Sequence[Entry]) -> Iterator[Violation]:
    balance = Amounts()
    for version, entry in enumerate(life, start=1):
        if entry.version != version:
            yield Violation(
                Breach.VERSION_GAP, f"{wallet}: entry {entry.place} has version {entry.version} for {version}"
            )
            return
        balance = balance.plus(entry.change)
        if entry.after != balance:
            yield Violation(
                Breach.WRONG_BALANCE,
                f"{wallet}, version {version}: {entry.after}, the changes so far come to {balance}",
            )
            return


def _check_hot(books: Books) -> Iterator[Violation]:
    lives = books.lives()
    for wallet in lives.keys() - books.hot.keys():
        yield Violation(Breach.HOT_DIFFERS, f"{wallet} is not shown, the ledger has {lives[wallet][-1]}")
    for wallet, (version, amounts) in books.hot.items():
        last = lives[wallet][-1] if wallet in lives else None
        if last is None or (last.version, last.after) != (version, amounts):
            yield Violation(
                Breach.HOT_DIFFERS,
                f"{wallet} is at version {version} with {amounts}, the ledger has {last}",
            )
