"""Between SubmissionService's messages and the inbox."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from persistence.errors import FieldInvalid
from persistence.inbox import (
    CommandPage,
    CommandState,
    Progress,
    Submission,
    SubmissionPage,
    SubmittedCommand,
)
from service.conversions.fields import read_optional_id, read_transaction_id
from stakehold.v1 import command_pb2
from stakehold.v1 import submission_service_pb2 as pb

MAX_INDEXES = 1000

_STATES = {
    CommandState.WAITING: pb.SUBMITTED_COMMAND_STATE_WAITING,
    CommandState.APPLIED: pb.SUBMITTED_COMMAND_STATE_APPLIED,
    CommandState.REFUSED: pb.SUBMITTED_COMMAND_STATE_REFUSED,
    CommandState.DEAD: pb.SUBMITTED_COMMAND_STATE_DEAD,
}
_READ_STATES = {message: state for state, message in _STATES.items()}

_Named = pb.GetSubmissionRequest | pb.ListResultsRequest | pb.RedriveDeadLettersRequest


def read_submission_key(request: _Named) -> tuple[str, str]:
    """The source and the submission."""
    return (
        read_transaction_id(request.source_id, "source_id"),
        read_transaction_id(request.submission_id, "submission_id"),
    )


def read_source_filter(request: pb.ListSubmissionsRequest | pb.ListDeadLettersRequest) -> str:
    return read_optional_id(request.source_id, "source_id")


def read_submission_filter(request: pb.ListDeadLettersRequest) -> str:
    submission_id = read_optional_id(request.submission_id, "submission_id")
    if submission_id and not request.source_id:
        raise FieldInvalid("source_id", "must be set where submission_id is")
    return submission_id


def read_states(states: Sequence[pb.SubmittedCommandState.ValueType]) -> list[CommandState]:
    read = [_READ_STATES.get(state) for state in states]
    for index, state in enumerate(read):
        if state is None:
            raise FieldInvalid(f"states[{index}]", "must be WAITING, APPLIED, REFUSED or DEAD")
    return [state for state in read if state is not None]


def read_indexes(indexes: Sequence[int]) -> list[int]:
    if len(indexes) > MAX_INDEXES:
        raise FieldInvalid("indexes", f"must be at most {MAX_INDEXES}")
    return list(indexes)


def receipt_message(submission: Submission) -> pb.SubmissionReceipt:
    return pb.SubmissionReceipt(
        source_id=submission.source_id,
        submission_id=submission.submission_id,
        command_count=submission.command_count,
        digest=submission.digest.hex(),
        accept_time=_timestamp(submission.accepted_time),
        submitted_by=submission.submitted_by,
    )


def submission_message(submission: Submission, progress: Progress) -> pb.Submission:
    message = pb.Submission(
        receipt=receipt_message(submission),
        waiting_count=progress.waiting,
        retrying_count=progress.retrying,
        applied_count=progress.applied,
        refused_count=progress.refused,
        dead_count=progress.dead,
        most_attempts=progress.most_attempts,
    )
    if (last := progress.last_decision_time) is not None:
        message.last_decision_time.CopyFrom(_timestamp(last))
        message.delay.CopyFrom(_duration(submission.accepted_time, last))
    if progress.waiting:
        message.oldest_waiting.CopyFrom(_duration(submission.accepted_time, progress.now))
    elif last is not None:
        message.finish_time.CopyFrom(_timestamp(last))
    return message


def submissions_response(page: SubmissionPage) -> pb.ListSubmissionsResponse:
    listed = [
        pb.ListedSubmission(
            receipt=receipt_message(submission),
            finish_time=_optional_timestamp(submission.finished_time),
        )
        for submission in page.submissions
    ]
    return pb.ListSubmissionsResponse(submissions=listed, next_page_token=page.next_page_token)


def results_response(page: CommandPage) -> pb.ListResultsResponse:
    commands = [_command_message(command) for command in page.commands]
    return pb.ListResultsResponse(commands=commands, next_page_token=page.next_page_token)


def dead_letters_response(page: CommandPage) -> pb.ListDeadLettersResponse:
    dead_letters = [
        pb.DeadLetter(
            command=command_pb2.Command.FromString(letter.command or b""), outcome=_command_message(letter)
        )
        for letter in page.commands
    ]
    return pb.ListDeadLettersResponse(dead_letters=dead_letters, next_page_token=page.next_page_token)


def _command_message(command: SubmittedCommand) -> pb.SubmittedCommand:
    result = None if command.result is None else command_pb2.CommandResult.FromString(command.result)
    return pb.SubmittedCommand(
        source_id=command.source_id,
        submission_id=command.submission_id,
        index=command.index,
        player_id=command.player_id,
        transaction_id=command.transaction_id,
        state=_STATES[command.state],
        attempts=command.attempts,
        result=result,
        last_attempt_time=_optional_timestamp(command.last_attempt_time),
        next_attempt_time=_optional_timestamp(command.due_time),
    )


def _optional_timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else _timestamp(moment)


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _duration(start: datetime, end: datetime) -> Duration:
    """Not below zero: the clocks are a worker's and the database's."""
    message = Duration()
    message.FromTimedelta(max(end - start, end - end))
    return message
