"""SubmissionService: commands for later, what became of them, and those that were given up."""

from collections.abc import AsyncIterator
from typing import Any

from grpc.aio import ServicerContext

from persistence.postgres.inbox.accepting import Accepting
from persistence.postgres.inbox.reading import InboxReader
from service.callers.gate import Gate
from service.callers.identifying import current_caller
from service.conversions.ledger import read_page_size
from service.conversions.submissions import (
    dead_letters_response,
    read_indexes,
    read_source_filter,
    read_states,
    read_submission_filter,
    read_submission_key,
    receipt_message,
    results_response,
    submission_message,
    submissions_response,
)
from service.quotes import Quotes
from service.receiving import Reception
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1 import submission_service_pb2_grpc

Context = ServicerContext[Any, Any]

_SUBMIT = "/stakehold.v1.SubmissionService/Submit"
_SUBMIT_TIMEOUT_S = 600.0


class SubmissionServicer(submission_service_pb2_grpc.SubmissionServiceServicer):
    """Answers from Postgres alone."""

    def __init__(
        self,
        accepting: Accepting,
        reader: InboxReader,
        gate: Gate,
        registry: Registry,
        quotes: Quotes,
        deadlines: Deadlines,
        *,
        partition_count: int,
    ) -> None:
        self._accepting = accepting
        self._reader = reader
        self._gate = gate
        self._registry = registry
        self._quotes = quotes
        self._deadlines = deadlines
        self._submit_deadlines = Deadlines(_SUBMIT_TIMEOUT_S)
        self._partition_count = partition_count

    async def Submit(
        self, request_iterator: AsyncIterator[pb.SubmitRequest], context: Context
    ) -> pb.SubmitResponse:
        reception = Reception(
            request_iterator,
            self._gate.commands(_SUBMIT, context),
            self._registry,
            self._quotes,
            partition_count=self._partition_count,
        )
        await reception.open()
        submission, replayed = await self._accepting.accept(
            reception.source_id,
            reception.submission_id,
            reception.chunks(),
            reception.digest,
            submitted_by=current_caller().name,
            deadline=self._submit_deadlines.of(context),
        )
        return pb.SubmitResponse(receipt=receipt_message(submission), replayed=replayed)

    async def GetSubmission(
        self, request: pb.GetSubmissionRequest, context: Context
    ) -> pb.GetSubmissionResponse:
        submission, progress = await self._reader.submission(
            *read_submission_key(request), deadline=self._deadlines.of(context)
        )
        return pb.GetSubmissionResponse(submission=submission_message(submission, progress))

    async def ListSubmissions(
        self, request: pb.ListSubmissionsRequest, context: Context
    ) -> pb.ListSubmissionsResponse:
        page = await self._reader.submissions(
            read_source_filter(request),
            unfinished_only=request.unfinished_only,
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return submissions_response(page)

    async def ListResults(self, request: pb.ListResultsRequest, context: Context) -> pb.ListResultsResponse:
        page = await self._reader.results(
            *read_submission_key(request),
            read_states(request.states),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return results_response(page)

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        page = await self._reader.dead_letters(
            read_source_filter(request),
            read_submission_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return dead_letters_response(page)

    async def RedriveDeadLetters(
        self, request: pb.RedriveDeadLettersRequest, context: Context
    ) -> pb.RedriveDeadLettersResponse:
        count = await self._accepting.redrive(
            *read_submission_key(request),
            read_indexes(request.indexes),
            deadline=self._deadlines.of(context),
        )
        return pb.RedriveDeadLettersResponse(redriven_count=count)
