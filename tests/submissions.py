"""Submitting commands, and seeing what becomes of them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from stakehold.v1 import command_pb2
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from tests import requests
from tests.answers import refused
from tests.reference import Step
from tests.waiting import until

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceAsyncStub

TIMEOUT_S = 60.0
CHUNK = 1000
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class SubmissionApi:
    """SubmissionService over a channel. What is not OK is raised as Refused."""

    stub: "SubmissionServiceAsyncStub"

    async def submit(
        self,
        source_id: str,
        submission_id: str,
        commands: Sequence[command_pb2.Command],
        *,
        chunk: int = CHUNK,
        command_count: int = 0,
    ) -> pb.SubmitResponse:
        messages = list(submit_requests(source_id, submission_id, commands, chunk, command_count))
        return await self.send(messages)

    async def send(self, messages: Iterable[pb.SubmitRequest]) -> pb.SubmitResponse:
        try:
            return await self.stub.Submit(iter(list(messages)), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def progress(self, source_id: str, submission_id: str) -> pb.Submission:
        request = pb.GetSubmissionRequest(source_id=source_id, submission_id=submission_id)
        try:
            return (await self.stub.GetSubmission(request, timeout=TIMEOUT_S)).submission
        except grpc.RpcError as error:
            raise refused(error) from None

    async def until_decided(
        self, source_id: str, submission_id: str, *, deadline_s: float = 60.0
    ) -> pb.Submission:
        """Waits until none of its commands waits; how it ended."""

        async def decided() -> bool:
            return (await self.progress(source_id, submission_id)).waiting_count == 0

        await until(decided, what=f"{submission_id} is decided", deadline_s=deadline_s, poll_s=0.1)
        return await self.progress(source_id, submission_id)

    async def results(
        self, source_id: str, submission_id: str, *states: str, page_size: int = 1000
    ) -> list[pb.SubmittedCommand]:
        """All pages."""
        wanted = [pb.SubmittedCommandState.Value(f"SUBMITTED_COMMAND_STATE_{state}") for state in states]
        found: list[pb.SubmittedCommand] = []
        token = ""
        while True:
            request = pb.ListResultsRequest(
                source_id=source_id,
                submission_id=submission_id,
                states=wanted,
                page_size=page_size,
                page_token=token,
            )
            page = await self.stub.ListResults(request, timeout=TIMEOUT_S)
            found += page.commands
            token = page.next_page_token
            if not token:
                return found

    async def dead_letters(
        self, source_id: str = "", submission_id: str = "", *, page_size: int = 1000
    ) -> list[pb.DeadLetter]:
        """All pages."""
        found: list[pb.DeadLetter] = []
        token = ""
        while True:
            request = pb.ListDeadLettersRequest(
                source_id=source_id, submission_id=submission_id, page_size=page_size, page_token=token
            )
            page = await self.stub.ListDeadLetters(request, timeout=TIMEOUT_S)
            found += page.dead_letters
            token = page.next_page_token
            if not token:
                return found

    async def redrive(self, source_id: str, submission_id: str, *indexes: int) -> int:
        request = pb.RedriveDeadLettersRequest(
            source_id=source_id, submission_id=submission_id, indexes=indexes
        )
        return (await self.stub.RedriveDeadLetters(request, timeout=TIMEOUT_S)).redriven_count


def submit_requests(
    source_id: str,
    submission_id: str,
    commands: Sequence[command_pb2.Command],
    chunk: int = CHUNK,
    command_count: int = 0,
) -> Iterable[pb.SubmitRequest]:
    """The messages of a submission."""
    yield pb.SubmitRequest(
        source_id=source_id,
        submission_id=submission_id,
        commands=commands[:chunk],
        command_count=command_count,
    )
    for start in range(chunk, len(commands), chunk):
        yield pb.SubmitRequest(commands=commands[start : start + chunk])


def command(source_id: str, player_id: str, *steps: Step) -> command_pb2.Command:
    """The command of a step, or of several, all or nothing."""
    return requests.command(requests.call(source_id, player_id, list(steps)))


@asynccontextmanager
async def submission_api(address: str) -> AsyncIterator[SubmissionApi]:
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        yield SubmissionApi(SubmissionServiceStub(channel))
