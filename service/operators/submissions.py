"""Submissions, and what became of their commands."""

from collections.abc import Sequence

from service.operators.cells import Column, number_of, short_name
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Listing, Record
from stakehold.v1 import error_reason_pb2
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub

STATES = pb.SubmittedCommandState.DESCRIPTOR


def _receipt_columns(path: str) -> list[Column]:
    return [
        Column("source_id", f"{path}.source_id"),
        Column("submission_id", f"{path}.submission_id"),
        Column("command_count", f"{path}.command_count", is_number=True),
        Column("accept_time", f"{path}.accept_time"),
        Column("digest", f"{path}.digest", in_table=False),
    ]


_LISTED = [*_receipt_columns("receipt"), Column("finish_time")]
_SUBMISSION = [
    *_receipt_columns("submission.receipt"),
    *(
        Column(name, f"submission.{name}", is_number=True)
        for name in (
            "waiting_count",
            "retrying_count",
            "applied_count",
            "refused_count",
            "dead_count",
            "most_attempts",
        )
    ),
    *(
        Column(name, f"submission.{name}")
        for name in ("last_decision_time", "finish_time", "oldest_waiting", "delay")
    ),
]


def command_columns(path: str = "") -> list[Column]:
    """Columns of a SubmittedCommand that is found under ``path``, "outcome." or nothing."""

    def command_of(item: pb.SubmittedCommand | pb.DeadLetter) -> pb.SubmittedCommand:
        return item.outcome if isinstance(item, pb.DeadLetter) else item

    def reason(item: pb.SubmittedCommand | pb.DeadLetter) -> str:
        return short_name(error_reason_pb2.ErrorReason.DESCRIPTOR, command_of(item).result.error.reason)

    def entries(item: pb.SubmittedCommand | pb.DeadLetter) -> str:
        return " ".join(step.entry_id for step in command_of(item).result.done.results)

    return [
        Column("source_id", f"{path}source_id", in_table=False),
        Column("submission_id", f"{path}submission_id", in_table=bool(path)),
        Column("index", f"{path}index", is_number=True),
        Column("player_id", f"{path}player_id"),
        Column("transaction_id", f"{path}transaction_id"),
        Column("state", f"{path}state", in_table=not path),
        Column("attempts", f"{path}attempts", is_number=True),
        Column("reason", reason),
        Column("message", f"{path}result.error.message"),
        Column("entry_ids", entries, in_table=False),
        Column("last_attempt_time", f"{path}last_attempt_time"),
        Column("next_attempt_time", f"{path}next_attempt_time", in_table=not path),
    ]


def list_submissions(office: Office, source_id: str, *, unfinished_only: bool, limit: int | None) -> Listing:
    """Newest first."""
    submissions = SubmissionServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.ListedSubmission]:
        request = pb.ListSubmissionsRequest(
            source_id=source_id, unfinished_only=unfinished_only, page_size=size, page_token=token
        )
        answer = office.ask(submissions.ListSubmissions, request)
        return Page(answer.submissions, answer.next_page_token)

    return Listing("submissions", "Submissions", _LISTED, Paged(fetch, limit))


def show_submission(office: Office, source_id: str, submission_id: str) -> Record:
    request = pb.GetSubmissionRequest(source_id=source_id, submission_id=submission_id)
    return Record(_SUBMISSION, office.ask(SubmissionServiceStub(office.channel).GetSubmission, request))


def list_results(
    office: Office, source_id: str, submission_id: str, states: Sequence[str], *, limit: int | None
) -> Listing:
    """In the order of the submission."""
    submissions = SubmissionServiceStub(office.channel)
    wanted = [pb.SubmittedCommandState.ValueType(number_of(STATES, state)) for state in states]

    def fetch(size: int, token: str) -> Page[pb.SubmittedCommand]:
        request = pb.ListResultsRequest(
            source_id=source_id,
            submission_id=submission_id,
            states=wanted,
            page_size=size,
            page_token=token,
        )
        answer = office.ask(submissions.ListResults, request)
        return Page(answer.commands, answer.next_page_token)

    return Listing("commands", "Commands", command_columns(), Paged(fetch, limit))
