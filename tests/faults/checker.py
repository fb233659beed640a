"""All checks of a run."""

import traceback
from collections.abc import Iterator

from tests.faults.checks.by_the_rules import check_by_the_rules
from tests.faults.checks.case import Breach, Case, Violation
from tests.faults.checks.once import check_once
from tests.faults.checks.order import check_order
from tests.faults.checks.refusals import check_refusals
from tests.faults.checks.rollbacks import check_rollbacks
from tests.faults.checks.slips import check_slips
from tests.faults.checks.wallets import check_wallets

CHECKS = (
    check_once,
    check_wallets,
    check_order,
    check_refusals,
    check_rollbacks,
    check_slips,
    check_by_the_rules,
)


def violations(case: Case) -> Iterator[Violation]:
    """Everything that breaks a promise, promise by promise. Pure: the same case, the same answer.

    A check that fails has shown nothing: that is a violation too.
    """
    if not case.history.attempts or not case.books.entries:
        yield Violation(Breach.UNCHECKED, "there is nothing to check")
    for check in CHECKS:
        try:
            yield from check(case)
        except Exception:
            yield Violation(Breach.UNCHECKED, f"{check.__name__}: {traceback.format_exc()}")
