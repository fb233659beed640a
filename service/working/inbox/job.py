"""Makes the job that works the inbox off."""

from service.working.inbox.applying import Applier
from service.working.inbox.metrics import InboxMetrics
from service.working.inbox.verdicts import Patience
from service.working.inbox.worker import InboxSettings, InboxWorker
from service.working.jobs import Job
from service.working.workplace import Workplace


def inbox_job(place: Workplace) -> Job:
    settings = place.settings
    applier = Applier(
        place.hot_path.engine,
        place.registry,
        place.quotes,
        timeout_s=settings.call_timeout_s,
        traces=place.traces,
    )
    worker = InboxWorker(
        place.inbox_pool,
        applier,
        place.hot_path.pressure,
        InboxMetrics(place.metrics),
        InboxSettings(
            settings.work_rate,
            Patience(missing_s=settings.work_missing_s, outage_s=settings.work_retry_s),
            place.hot_path.partition_count,
            gives_way=settings.work_nice > 0,
        ),
    )
    return Job("inbox", worker.run)
