"""Takes callbacks, in this order: whose it is, what it says, on record, done, answered, noted.

Until it is on record nothing is done about it, and the provider is told to send it again. From then on it is
done at most once however often it comes, since the provider's ids are the transactions'. So it does not
matter where a process dies: the same callback again finds out, and is answered as it would have been.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from persistence.errors import NotDone, StakeholdError
from persistence.postgres.callbacks import CallbackNumber, CallbackTable, NotedAnswer, ReceivedCallback
from service.providers.adapter import Answer, Asked, Finding, Problem, Request, TransactionAsked, Unreadable
from service.providers.applying import Applying
from service.providers.book import ProviderBook
from service.providers.metrics import DONE, ProviderMetrics
from service.providers.noting import AnswerNotes
from service.providers.problems import problem_of
from service.providers.provider import Provider
from service.providers.sessions import system_now
from service.providers.signatures import Headers, SignatureBad
from service.rate_limits import RateLimits

_log = structlog.get_logger(__name__)

_HEADERS_KEPT = frozenset({"content-type", "user-agent", "x-request-id", "traceparent"})
"""Beside those of the signature. All others may hold secrets."""
_LONGEST_HEADER = 2048
_LONGEST_ID = 128
_FAILURES_TOLD_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A callback as it was handed over. ``peer`` and ``received_time`` are the edge's word, recorded."""

    provider_id: str
    request: Request
    headers: Headers = field(repr=False)
    peer: str
    received_time: datetime


class Callbacks:
    """Deadlines are in the event loop's time."""

    def __init__(
        self,
        book: ProviderBook,
        table: CallbackTable,
        applying: Applying,
        notes: AnswerNotes,
        metrics: ProviderMetrics,
        rate_limits: RateLimits,
        *,
        now: Callable[[], datetime] = system_now,
    ) -> None:
        self._book = book
        self._table = table
        self._applying = applying
        self._notes = notes
        self._metrics = metrics
        self._rate_limits = rate_limits
        self._now = now
        self._told_at: dict[str, float] = {}

    async def take(self, delivery: Delivery, *, deadline: float) -> Answer:
        """What is to be sent back. Raises ProviderNotFound; and after a bug anything: the provider has to be
        told to send it again then.
        """
        provider = self._book.provider(delivery.provider_id)
        if len(delivery.request.body) > provider.max_body_bytes:
            self._metrics.count_turned_away(provider.provider_id, Problem.TOO_LARGE)
            return provider.adapter.write(Asked(), Finding(Problem.TOO_LARGE))
        try:
            key_id = provider.scheme.verify(
                delivery.headers, delivery.request.path, delivery.request.body, now=self._now()
            )
        except SignatureBad as bad:
            self._note_bad_signature(provider, delivery, bad)
            return provider.adapter.write(Asked(), Finding(Problem.SIGNATURE))
        started = asyncio.get_running_loop().time()
        answer, finding = await self._take_known(provider, delivery, key_id, deadline)
        seconds = asyncio.get_running_loop().time() - started
        self._metrics.count_callback(provider.provider_id, _outcome(finding), seconds)
        return answer

    async def _take_known(
        self, provider: Provider, delivery: Delivery, key_id: str, deadline: float
    ) -> tuple[Answer, Finding]:
        """Of a callback that is the provider's."""
        problem, bug = None, None
        try:
            asked = provider.adapter.read(delivery.request)
        except Unreadable as unreadable:
            asked, problem = unreadable.asked, unreadable.problem
        except Exception as error:  # on record first, whatever is the matter with us
            asked, bug = Asked(), error
        try:
            self._rate_limits.take(provider.source_id)
            recorded = await self._record(provider, delivery, key_id, asked, deadline)
        except StakeholdError as error:
            return self._unrecorded(provider, asked, error)
        if bug is not None:
            raise bug
        finding = Finding(problem) if problem else await self._find(provider, asked, deadline)
        answer = provider.adapter.write(asked, finding)
        self._notes.put(
            NotedAnswer(
                recorded.number,
                _outcome(finding),
                answer.status_code,
                hashlib.sha256(answer.body).digest(),
                self._now(),
            )
        )
        return answer, finding

    async def _record(
        self, provider: Provider, delivery: Delivery, key_id: str, asked: Asked, deadline: float
    ) -> CallbackNumber:
        kept = _HEADERS_KEPT | provider.scheme.headers_that_matter()
        recorded = await self._table.record(
            ReceivedCallback(
                provider_id=delivery.provider_id,
                method=delivery.request.method,
                path=delivery.request.path,
                body=delivery.request.body,
                headers=_shown_headers(delivery.headers, kept),
                peer=delivery.peer,
                key_id=key_id,
                request_id=_id_or_nothing(asked.request_id),
                player_id=_id_or_nothing(asked.player_id),
                transaction_id=_id_or_nothing(
                    asked.transaction_id if isinstance(asked, TransactionAsked) else ""
                ),
                received_time=delivery.received_time,
            ),
            deadline=deadline,
        )
        if recorded.is_duplicate:
            self._metrics.count_duplicate(delivery.provider_id)
        return recorded

    def _unrecorded(self, provider: Provider, asked: Asked, error: StakeholdError) -> tuple[Answer, Finding]:
        """Nothing was done about it, and nothing is: it has to come again."""
        if not isinstance(error, NotDone):
            _log.error("callback_not_recorded", provider=provider.provider_id, exc_info=error)
        finding = Finding(Problem.RETRY)
        return provider.adapter.write(asked, finding), finding

    async def _find(self, provider: Provider, asked: Asked, deadline: float) -> Finding:
        """What no table knows is nothing that a provider may take for a refusal."""
        try:
            return await self._applying.find(provider, asked, deadline=deadline)
        except StakeholdError as error:
            if problem_of(error) is None:
                _log.error("callback_not_done", provider=provider.provider_id, error=str(error))
            return Finding(Problem.RETRY)

    def _note_bad_signature(self, provider: Provider, delivery: Delivery, bad: SignatureBad) -> None:
        """Counted always, told once a second at most: who has no key shall not fill the logs."""
        self._metrics.count_turned_away(provider.provider_id, Problem.SIGNATURE)
        self._metrics.count_signature_failure(provider.provider_id, bad.fault)
        now_s = asyncio.get_running_loop().time()
        if now_s - self._told_at.get(provider.provider_id, -_FAILURES_TOLD_EVERY_S) < _FAILURES_TOLD_EVERY_S:
            return
        self._told_at[provider.provider_id] = now_s
        _log.warning(
            "callback_signature_bad",
            provider=provider.provider_id,
            fault=bad.fault.value,
            peer=delivery.peer,
            path=delivery.request.path,
        )


def _outcome(finding: Finding) -> str:
    return finding.problem.value if finding.problem else DONE


def _shown_headers(headers: Headers, kept: frozenset[str]) -> Mapping[str, str]:
    return {
        name: ", ".join(values)[:_LONGEST_HEADER]
        for name, values in headers.items()
        if name in kept and all(value.isascii() and value.isprintable() for value in values)
    }


def _id_or_nothing(text: str) -> str:
    is_id = 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()
    return text if is_id else ""
