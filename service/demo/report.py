"""Prints what a play came to."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from service.demo.promises import Evidence, Promise
from service.demo.tally import Tally
from stakehold.v1 import transaction_pb2

SHOWN_PLAYERS = 5
KEPT, BROKEN = "kept  ", "BROKEN"


@dataclass(frozen=True, slots=True)
class Size:
    """The size of what was played."""

    players: int
    concurrency: int
    elapsed_s: float


def report(size: Size, evidence: Evidence, promises: Sequence[Promise]) -> Iterator[str]:
    """The report's lines."""
    yield from _calls(size, evidence.tally)
    yield from _drain(evidence)
    yield from _submissions(evidence.tally)
    yield from _slips(evidence)
    yield ""
    yield from _balances(evidence)
    yield ""
    yield from _trial_balance(evidence)
    yield ""
    yield from _audit(evidence)
    yield ""
    yield from _verdict(promises)


def table(rows: Iterable[Sequence[str]], *, left: int = 1) -> Iterator[str]:
    """Rows as aligned columns; the first ``left`` columns are words, the others numbers."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def _calls(size: Size, tally: Tally) -> Iterator[str]:
    calls = len(tally.latencies_s) + tally.retries + tally.lost
    rate = calls / size.elapsed_s
    quantiles = " ".join(f"{name} {tally.latency_ms(q):.1f} ms" for name, q in _QUANTILES)
    yield f"Played    {calls:,} calls by {size.players} players in {size.elapsed_s:.1f} s, {rate:,.0f}/s"
    yield f"Latency   {quantiles} (at most {size.concurrency} calls at a time)"
    yield f"Network   {tally.lost} answers lost and asked for again, {tally.retries} calls retried"
    yield "Answers"
    yield from table((name, f"{count:,}") for name, count in tally.answers.most_common())


def _drain(evidence: Evidence) -> Iterator[str]:
    drain = evidence.drain
    lag = " ".join(f"{name} {drain.lag_ms(q):.0f} ms" for name, q in _QUANTILES)
    if drain.caught_up_s is None:
        yield f"Drain     NOT caught up: {drain.remaining():,} entries are not in the ledger"
    else:
        entries, later_s = len(drain.lags_ms), drain.caught_up_s
        yield f"Drain     all {entries:,} entries were seen in the ledger {later_s:.1f} s after the play"
    yield f"Lag       {lag} from wallet to ledger"


def _submissions(tally: Tally) -> Iterator[str]:
    for submission in tally.submissions:
        receipt, delay_s = submission.receipt, submission.delay.ToTimedelta().total_seconds()
        yield (
            f"Submitted {receipt.command_count:,} commands, decided within {delay_s:.1f} s:"
            f" {submission.applied_count:,} applied, {submission.refused_count:,} refused,"
            f" {submission.dead_count:,} given up"
        )


def _slips(evidence: Evidence) -> Iterator[str]:
    states = evidence.slips.states.most_common()
    if states:
        told = ", ".join(f"{count:,} {state.lower().replace('_', ' ')}" for state, count in states)
        yield f"Slips     {sum(evidence.slips.states.values()):,}, in the end {told}"


def _balances(evidence: Evidence) -> Iterator[str]:
    wallets = evidence.tally.wallets
    by_currency: dict[str, list[transaction_pb2.WalletBalance]] = defaultdict(list)
    for (_, currency), wallet in wallets.items():
        by_currency[currency].append(wallet)
    yield "Balances (all wallets of the play)"
    rows = [("currency", "wallets", "cash", "owed")]
    for currency, theirs in sorted(by_currency.items()):
        cash, owed = (
            sum(map(Decimal, amounts))
            for amounts in ((w.cash for w in theirs), (w.receivable for w in theirs))
        )
        rows.append((currency, str(len(theirs)), f"{cash:,f}", f"{owed:,f}"))
    yield from table(rows)
    yield "  for example"
    shown = sorted(wallets)[:SHOWN_PLAYERS]
    yield from table(
        (
            (
                player,
                f"{wallets[player, currency].cash} {currency}",
                f"version {wallets[player, currency].version}",
            )
            for player, currency in shown
        )
    )


def _trial_balance(evidence: Evidence) -> Iterator[str]:
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in evidence.trial_balance.lines:
        sums[line.balance.currency_code][line.owner_kind] += Decimal(line.balance.amount)
    kinds = sorted({kind for owners in sums.values() for kind in owners})
    yield "Trial balance (all accounts of the ledger)"
    rows = [("currency", *(f"{kind}s" if kind != "house" else kind for kind in kinds), "sum")]
    for total in evidence.trial_balance.totals:
        owners = sums[total.currency_code]
        rows.append(
            (total.currency_code, *(f"{owners[kind]:,f}" for kind in kinds), f"{Decimal(total.amount):,f}")
        )
    yield from table(rows)


def _audit(evidence: Evidence) -> Iterator[str]:
    summary = evidence.summary
    if summary is None:
        yield "Audit     ended without a summary"
        return
    yield (
        f"Audit     {summary.entry_count:,} entries, {summary.posting_count:,} postings and"
        f" {summary.wallet_count:,} wallets checked: {summary.finding_count} findings"
    )


def _verdict(promises: Sequence[Promise]) -> Iterator[str]:
    yield "Promises"
    for promise in promises:
        yield f"  {KEPT if promise.kept else BROKEN}  {promise.text}"
        yield from (f"            {sentence}" for sentence in promise.broken_by)
    broken = sum(not promise.kept for promise in promises)
    yield ""
    yield f"{broken} promises were broken." if broken else "Every promise was kept."


_QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
