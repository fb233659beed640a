"""A command is read as its unary call is, and told of its end in the same words."""

import pytest

from persistence import errors
from persistence.errors import RefusalReason
from service.conversions.commands import OPERATIONS, error_result, source_id_of
from service.errors import Explanation, explain, explain_bug
from stakehold.v1 import command_pb2 as pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from tests.answers import Refused, read_command_result, read_status
from tests.unit.test_error_table import CALLER_ERRORS, Scales, refused

EXPLANATIONS = [
    *(explain(error, Scales()) for error in CALLER_ERRORS),
    *(explain(refused(reason), Scales()) for reason in RefusalReason),
    explain_bug("c0ffee"),
]


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda explanation: explanation.reason)
def test_a_commands_error_says_all_that_the_status_of_a_call_says(explanation: Explanation) -> None:
    told = read_command_result(error_result(explanation))

    assert isinstance(told, Refused)
    assert told.code == explanation.code.name
    assert told.details == read_status(explanation.status())


def test_a_field_violation_says_which_field_and_what_it_must_be() -> None:
    error = errors.CurrencyUnknown("amount.currency_code", "XYZ")

    (violation,) = error_result(explain(error, Scales())).error.field_violations

    assert (violation.field, violation.description) == (error.field, error.description)


def test_every_operation_of_a_command_can_be_read() -> None:
    operations = pb.Command.DESCRIPTOR.oneofs_by_name["operation"].fields

    assert {operation.name for operation in operations} == set(OPERATIONS)


def test_a_command_is_whose_its_operation_says() -> None:
    assert source_id_of(pb.Command(rollback=wallet_pb.RollbackRequest(source_id="games"))) == "games"
    assert source_id_of(pb.Command()) == ""
