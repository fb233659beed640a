"""All jobs of `stakehold work`, in one list."""

from collections.abc import Callable, Sequence

from service.working.callbacks import callbacks_job
from service.working.cashier import cashier_job
from service.working.expiring import expiring_job
from service.working.inbox.job import inbox_job
from service.working.jobs import Job
from service.working.pruning import pruning_job
from service.working.sweeping import sweeping_job
from service.working.workplace import Workplace

_MAKERS: Sequence[Callable[[Workplace], Job]] = (
    inbox_job,
    sweeping_job,
    expiring_job,
    cashier_job,
    callbacks_job,
    pruning_job,
)
"""Each makes one job. Any number of processes may run: a job sees to it itself that this does no harm."""


def jobs_of(workplace: Workplace) -> list[Job]:
    """A process's jobs."""
    return [make(workplace) for make in _MAKERS]
