"""The promises, each kept or broken by what was seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from service.demo.books import Drain
from service.demo.slips import SlipBooks
from service.demo.tally import Tally, shortened
from stakehold.v1 import ledger_service_pb2


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise with what broke it; nothing did where it was kept."""

    text: str
    broken_by: Sequence[str] = ()

    @property
    def kept(self) -> bool:
        return not self.broken_by


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the demo has seen."""

    tally: Tally
    expected_wallets: int
    drain: Drain
    disagreements: Sequence[str]
    trial_balance: ledger_service_pb2.GetTrialBalanceResponse
    findings: Sequence[ledger_service_pb2.Finding]
    summary: ledger_service_pb2.AuditSummary | None
    slips: SlipBooks = field(default_factory=SlipBooks)


def promises(evidence: Evidence) -> list[Promise]:
    """Those that every play puts to the test, and those of slips and submissions where it has some."""
    return [*_of_every_play(evidence), *_of_slips(evidence.slips), *_of_submissions(evidence.tally)]


def _of_slips(slips: SlipBooks) -> list[Promise]:
    if not slips.played:
        return []
    text = f"Slips: what each of {len(slips.played):,} slips has moved is what was played"
    return [Promise(text, shortened(slips.disagreements()))]


def _of_submissions(tally: Tally) -> list[Promise]:
    if not tally.submissions:
        return []
    text = f"Submitted: each of {tally.commands:,} commands was decided once, and as it must be"
    return [Promise(text, shortened([*_undecided(tally), *tally.command_surprises]))]


def _undecided(tally: Tally) -> list[str]:
    accepted = sum(submission.receipt.command_count for submission in tally.submissions)
    missing = [] if accepted == tally.commands else [f"{tally.commands} of {accepted} were told of"]
    return missing + [
        f"{submission.receipt.submission_id}: {submission.waiting_count} wait,"
        f" {submission.dead_count} were given up"
        for submission in tally.submissions
        if submission.waiting_count or submission.dead_count
    ]


def _of_every_play(evidence: Evidence) -> list[Promise]:
    tally, drain = evidence.tally, evidence.drain
    return [
        Promise("Every call was answered as it must be", shortened(tally.surprises)),
        Promise("Once: no transaction id took effect twice", shortened(tally.applied_twice)),
        Promise("Never overspent: no debit went below the floor", shortened(tally.overspent)),
        Promise("Exact: every balance is what plain addition says", _unchecked(evidence)),
        Promise(
            "In order: every wallet's changes are numbered without a gap", shortened(tally.version_gaps())
        ),
        Promise("Acked is durable: every answer stands in the ledger", _not_drained(drain)),
        Promise("Wallet and ledger agree on every balance", shortened(evidence.disagreements)),
        Promise("Balanced: each currency sums to zero", _unbalanced(evidence.trial_balance)),
        Promise("The audit found nothing", _audit_findings(evidence)),
    ]


def _unchecked(evidence: Evidence) -> list[str]:
    """Wrong balances are surprises of the last lines; here counts that none was left out."""
    wrong = [sentence for sentence in evidence.tally.surprises if " GetWallet" in sentence]
    checked, expected = evidence.tally.balances_checked, evidence.expected_wallets
    if checked != expected:
        wrong.append(f"{checked} of {expected} balances were read")
    return shortened(wrong)


def _not_drained(drain: Drain) -> list[str]:
    return shortened(
        [
            f"{player}: {len(missing)} entries are missing, for example {min(missing)}"
            for player, missing in sorted(drain.waiting.items())
        ]
    )


def _unbalanced(trial_balance: ledger_service_pb2.GetTrialBalanceResponse) -> list[str]:
    if not trial_balance.totals:
        return ["the trial balance is empty"]
    return [
        f"{total.currency_code} sums to {total.amount}"
        for total in trial_balance.totals
        if Decimal(total.amount) != 0
    ]


def _audit_findings(evidence: Evidence) -> list[str]:
    summary = evidence.summary
    if summary is None:
        return ["the audit ended without a summary"]
    found = [
        f"{ledger_service_pb2.FindingKind.Name(finding.kind)}: {finding.description}"
        for finding in evidence.findings
    ]
    if summary.finding_count != len(found):
        found.append(f"the summary counts {summary.finding_count} findings, the stream had {len(found)}")
    if not summary.entry_count:
        found.append("the audit checked no entries")
    return shortened(found)
