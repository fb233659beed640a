"""Commands that were given up, and having them tried again."""

from collections.abc import Sequence

from service.operators.cells import Column
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Listing, Record
from service.operators.submissions import command_columns
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub

MOST_INDEXES = 1000
_PAGE_ITEMS = 100  # each has its whole command, which may be large

_LETTER = [
    *command_columns("outcome."),
    Column("operation", lambda letter: str(letter.command.WhichOneof("operation") or "")),
    Column("command", in_table=False),
]
_REDRIVEN = [Column("redriven_count", is_number=True)]


def list_dead_letters(office: Office, source_id: str, submission_id: str, *, limit: int | None) -> Listing:
    """Oldest submission first."""
    submissions = SubmissionServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.DeadLetter]:
        request = pb.ListDeadLettersRequest(
            source_id=source_id, submission_id=submission_id, page_size=size, page_token=token
        )
        answer = office.ask(submissions.ListDeadLetters, request)
        return Page(answer.dead_letters, answer.next_page_token)

    return Listing("dead_letters", "Dead letters", _LETTER, Paged(fetch, limit, page_items=_PAGE_ITEMS))


def count_dead_letters(office: Office, source_id: str, submission_id: str) -> int:
    """How many a submission has now."""
    request = pb.GetSubmissionRequest(source_id=source_id, submission_id=submission_id)
    answer = office.ask(SubmissionServiceStub(office.channel).GetSubmission, request)
    return answer.submission.dead_count


def redrive(office: Office, source_id: str, submission_id: str, indexes: Sequence[int]) -> Record:
    """Those at ``indexes``, at most 1000; all where there are none."""
    request = pb.RedriveDeadLettersRequest(source_id=source_id, submission_id=submission_id, indexes=indexes)
    submissions = SubmissionServiceStub(office.channel)
    return Record(_REDRIVEN, office.change(submissions.RedriveDeadLetters, request))
