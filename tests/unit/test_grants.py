"""What each role may do. What matters most is written down here once more, by hand."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor

import stakehold.v1
from persistence.errors import FieldInvalid, NotPermitted, SourceNotPermitted, VerbNotPermitted
from service.callers.caller import DEVELOPMENT, Caller, Identification, Role
from service.callers.grants import CREDIT_KINDS, DEBIT_KINDS, GRANTS, HOLD_KINDS, OPERATIONS
from service.callers.permits import Permits
from service.callers.persons import name_person
from stakehold.v1 import (
    admin_service_pb2,
    cashier_service_pb2,
    command_pb2,
    fx_service_pb2,
    money_pb2,
    round_service_pb2,
    sportsbook_service_pb2,
    transaction_pb2,
    wallet_service_pb2,
)
from stakehold.v1.wallet_service_pb2 import CreditRequest, DebitRequest, HoldRequest, TransactRequest
from tests.grants_page import PAGE, page_with, written

DEBIT, CREDIT = "/stakehold.v1.WalletService/Debit", "/stakehold.v1.WalletService/Credit"
HOLD, TRANSACT = "/stakehold.v1.WalletService/Hold", "/stakehold.v1.WalletService/Transact"
BATCH = "/stakehold.v1.BulkService/Batch"
OWN = "own"


def methods() -> dict[str, MethodDescriptor]:
    found: dict[str, MethodDescriptor] = {}
    for path in sorted(Path(next(iter(stakehold.v1.__path__))).glob("*_service_pb2.py")):
        module = importlib.import_module(f"stakehold.v1.{path.stem}")
        for service in module.DESCRIPTOR.services_by_name.values():
            found |= {f"/{service.full_name}/{method.name}": method for method in service.methods}
    return found


METHODS = methods()


def caller(*roles: Role, sources: frozenset[str] | None = frozenset({OWN})) -> Caller:
    return Caller("carol", frozenset(roles), sources, Identification.CERTIFICATE)


def kind(name: str) -> transaction_pb2.TransactionKind.ValueType:
    return transaction_pb2.TransactionKind.Value(f"TRANSACTION_KIND_{name}")


def may(who: Caller, method: str, request: Any) -> bool:
    try:
        Permits().of(who).require(method, request)
    except NotPermitted as error:
        return (error.caller, error.method) != (who.name, method)
    return True


def test_every_rpc_of_every_service_has_a_row() -> None:
    missing = set(METHODS) - set(GRANTS)

    assert not missing, "add a row to service/callers/grants.py for each"


def test_what_acts_as_a_source_says_as_which_one() -> None:
    nameless = {
        method
        for method, grant in GRANTS.items()
        if grant.own and not grant.by_command and not _has(METHODS[method].input_type, "source_id")
    }

    assert not nameless


def test_fields_that_the_table_names_exist() -> None:
    for method, grant in GRANTS.items():
        if method in METHODS:
            for path in (*grant.noted, *grant.digested, *grant.only, grant.person, grant.why):
                assert not path or _has(METHODS[method].input_type, path), (method, path)


def test_no_role_is_both_bound_to_its_sources_and_free_of_them() -> None:
    assert not {method for method, grant in GRANTS.items() if grant.own & grant.all}


def test_every_field_that_names_a_person_is_the_callers_own_name() -> None:
    persons = {
        "approver",
        "author",
        "by",
        "rejected_by",
        "cancelled_by",
        "requested_by",
        "resolved_by",
        "pushed_by",
    }
    named = {
        (method, field.name)
        for method, found in METHODS.items()
        for field in found.input_type.fields
        if field.name in persons or field.name.endswith("_by")
    }

    assert named == {(method, grant.person) for method, grant in GRANTS.items() if grant.person}


def test_every_command_and_every_step_is_asked_for() -> None:
    commands = {field.name for field in command_pb2.Command.DESCRIPTOR.fields}
    steps = {field.name for field in wallet_service_pb2.TransactStep.DESCRIPTOR.fields}

    assert set(OPERATIONS) == commands
    assert steps <= set(OPERATIONS)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_who_has_no_role_may_do_nothing(method: str) -> None:
    for sources in (frozenset[str](), frozenset({OWN}), None):
        assert not may(caller(sources=sources), method, _named(METHODS[method]))


def test_a_method_without_a_row_is_nobodys() -> None:
    permits = Permits({})

    with pytest.raises(VerbNotPermitted):
        permits.of(caller(*Role, sources=None)).require(DEBIT, DebitRequest(source_id=OWN))


def test_reading_what_the_service_says_of_itself_takes_no_role() -> None:
    Permits().of(caller()).require("/grpc.health.v1.Health/Check", object())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_role_may_call_what_its_row_says_and_nothing_else(role: Role, method: str) -> None:
    grant, who = GRANTS[method], caller(role)
    own, others = _named(METHODS[method], OWN), _named(METHODS[method], "another")

    assert may(who, method, own) == (role in grant.own | grant.all)
    assert may(who, method, others) == (role in grant.all or (role in grant.own and grant.by_command))


MONEY = {
    Role.GAME: ({"BET", "TIP"}, {"WIN", "REFUND", "JACKPOT_WIN", "PROMOTIONAL_WIN"}, {"BET"}),
    Role.SPORTSBOOK: ({"BET", "TIP"}, {"WIN", "REFUND", "JACKPOT_WIN", "PROMOTIONAL_WIN"}, {"BET"}),
    Role.CASHIER: ({"WITHDRAWAL"}, {"DEPOSIT"}, {"WITHDRAWAL"}),
    Role.PROMOTIONS: (set[str](), {"BONUS"}, set[str]()),
}
"""By hand: what a role may debit, credit and hold for. The others move no money."""


@pytest.mark.parametrize("role", Role)
def test_a_role_moves_money_for_its_own_purposes_only(role: Role) -> None:
    who = caller(role)
    taken, given, held = MONEY.get(role, (set(), set(), set()))
    all_kinds = {name.removeprefix("TRANSACTION_KIND_") for name in transaction_pb2.TransactionKind.keys()}  # noqa: SIM118
    for name in all_kinds - {"UNSPECIFIED"}:
        debit = DebitRequest(source_id=OWN, kind=kind(name))
        credit = CreditRequest(source_id=OWN, kind=kind(name))
        hold = HoldRequest(source_id=OWN, kind=kind(name))

        assert may(who, DEBIT, debit) == (name in taken), name
        assert may(who, CREDIT, credit) == (name in given), name
        assert may(who, HOLD, hold) == (name in held), name


def test_nobody_corrects_a_wallet_alone() -> None:
    who = caller(*Role, sources=None)

    assert not may(who, DEBIT, DebitRequest(source_id=OWN, kind=kind("CORRECTION")))
    assert not may(who, CREDIT, CreditRequest(source_id=OWN, kind=kind("CORRECTION")))


def test_a_kind_that_is_not_said_is_malformed_and_not_forbidden() -> None:
    assert may(caller(Role.GAME), DEBIT, DebitRequest(source_id=OWN))


def test_a_kind_that_nobody_knows_is_forbidden() -> None:
    unknown = DebitRequest(source_id=OWN)
    unknown.kind = 77  # type: ignore[assignment]

    assert not may(caller(Role.GAME), DEBIT, unknown)


EXPECTED = [
    (Role.GAME, "WalletService/GetWallet", True),
    (Role.GAME, "WalletService/Exchange", False),
    (Role.GAME, "SportsbookService/PlaceSlip", False),
    (Role.GAME, "LedgerService/ListEntries", False),
    (Role.GAME, "LedgerService/GetStatement", False),
    (Role.GAME, "EventService/Subscribe", False),
    (Role.GAME, "RoundService/ListReviews", False),
    (Role.GAME, "CashierService/CreateDeposit", False),
    (Role.GAME, "CashierService/ListWithdrawals", False),
    (Role.GAME, "AdminService/OpenWallet", False),
    (Role.GAME, "AdminService/PutSource", False),
    (Role.GAME, "SubmissionService/RedriveDeadLetters", False),
    (Role.GAME, "AccessService/ListAccessRecords", False),
    (Role.SPORTSBOOK, "SportsbookService/PlaceSlip", True),
    (Role.CASHIER, "CashierService/CreditDeposit", True),
    (Role.CASHIER, "CashierService/ApproveWithdrawal", False),
    (Role.CASHIER, "CashierService/RejectWithdrawal", False),
    (Role.CASHIER, "RoundService/CloseRound", False),
    (Role.APPROVER, "CashierService/ApproveWithdrawal", True),
    (Role.APPROVER, "CashierService/RequestWithdrawal", False),
    (Role.APPROVER, "CashierService/ProposeCorrection", False),
    (Role.APPROVER, "FxService/PushRates", False),
    (Role.OPERATOR, "CashierService/ProposeCorrection", True),
    (Role.OPERATOR, "CashierService/ApproveCorrection", False),
    (Role.OPERATOR, "CashierService/ApproveWithdrawal", False),
    (Role.OPERATOR, "WalletService/Debit", False),
    (Role.OPERATOR, "WalletService/Rollback", False),
    (Role.OPERATOR, "BulkService/Batch", False),
    (Role.OPERATOR, "BulkService/Stream", False),
    (Role.OPERATOR, "SubmissionService/Submit", False),
    (Role.OPERATOR, "AdminService/PutSource", False),
    (Role.OPERATOR, "FxService/ConfirmRate", False),
    (Role.ADMIN, "AdminService/PutSource", True),
    (Role.ADMIN, "AdminService/SetWalletStatus", False),
    (Role.ADMIN, "WalletService/Credit", False),
    (Role.ADMIN, "CashierService/ApproveWithdrawal", False),
    (Role.AUDITOR, "AccessService/ListAccessRecords", True),
    (Role.AUDITOR, "LedgerService/Audit", True),
    (Role.AUDITOR, "AdminService/SetWalletStatus", False),
    (Role.OPERATOR, "AccessService/ListAccessRecords", False),
    (Role.RATES, "FxService/PushRates", True),
    (Role.RATES, "FxService/ConfirmRate", False),
    (Role.CONSUMER, "EventService/Subscribe", True),
    (Role.CONSUMER, "LedgerService/ListEntries", False),
    (Role.PLATFORM, "AdminService/OpenWallet", True),
    (Role.PLATFORM, "WalletService/Credit", False),
    (Role.EDGE, "WalletService/Debit", False),
    (Role.EDGE, "AdminService/PutSource", False),
]
"""By hand, of what matters most."""


@pytest.mark.parametrize(("role", "method", "expected"), EXPECTED)
def test_what_matters_most(role: Role, method: str, *, expected: bool) -> None:
    name = f"/stakehold.v1.{method}"

    assert may(caller(role), name, _named(METHODS[name], OWN)) == expected


def test_who_acts_for_a_source_acts_for_no_other_one() -> None:
    who = caller(Role.GAME)
    requests: list[tuple[str, Any]] = [
        (DEBIT, DebitRequest(source_id="another", kind=kind("BET"))),
        (DEBIT, DebitRequest(kind=kind("BET"))),
        (
            "/stakehold.v1.WalletService/GetTransaction",
            wallet_service_pb2.GetTransactionRequest(source_id="psp"),
        ),
        ("/stakehold.v1.RoundService/ListOpenRounds", round_service_pb2.ListOpenRoundsRequest(player_id="p")),
        ("/stakehold.v1.RoundService/ResumeSession", round_service_pb2.ResumeSessionRequest(player_id="p")),
        ("/stakehold.v1.SportsbookService/ListSlips", sportsbook_service_pb2.ListSlipsRequest(player_id="p")),
    ]

    for method, request in requests:
        with pytest.raises(SourceNotPermitted) as refused:
            Permits().of(who).require(method, request)
        assert refused.value.source_id == request.source_id


def test_a_source_id_without_end_is_not_told_back() -> None:
    with pytest.raises(SourceNotPermitted) as refused:
        Permits().of(caller(Role.GAME)).require(DEBIT, DebitRequest(source_id="x" * 500_000))

    assert len(str(refused.value)) + len(refused.value.source_id) < 500


def test_each_step_of_a_transact_is_asked_for() -> None:
    bet = wallet_service_pb2.DebitStep(kind=kind("BET"))
    deposit = wallet_service_pb2.CreditStep(kind=kind("DEPOSIT"))
    bonus = wallet_service_pb2.CreditStep(kind=kind("BONUS"))
    step = wallet_service_pb2.TransactStep

    def allowed(who: Caller, *steps: wallet_service_pb2.TransactStep) -> bool:
        return may(who, TRANSACT, TransactRequest(source_id=OWN, steps=steps))

    assert allowed(caller(Role.GAME), step(debit=bet))
    assert not allowed(caller(Role.GAME), step(debit=bet), step(credit=deposit))
    assert allowed(caller(Role.PROMOTIONS), step(credit=bonus))
    assert not allowed(caller(Role.PROMOTIONS), step(credit=bonus), step(debit=bet))
    assert not allowed(caller(Role.PROMOTIONS), step(hold=wallet_service_pb2.HoldStep(kind=kind("BET"))))


def test_each_command_is_asked_for_as_if_it_came_alone() -> None:
    permit = Permits().of(caller(Role.GAME))
    command = command_pb2.Command

    permit.require(BATCH, [])
    permit.require_command(BATCH, command(debit=DebitRequest(source_id=OWN, kind=kind("BET"))))
    permit.require_command(BATCH, command())
    with pytest.raises(SourceNotPermitted):
        permit.require_command(BATCH, command(debit=DebitRequest(source_id="another", kind=kind("BET"))))
    with pytest.raises(VerbNotPermitted, match="credit DEPOSIT"):
        permit.require_command(BATCH, command(credit=CreditRequest(source_id=OWN, kind=kind("DEPOSIT"))))
    with pytest.raises(VerbNotPermitted, match="place_slip"):
        permit.require_command(
            BATCH, command(place_slip=sportsbook_service_pb2.PlaceSlipRequest(source_id=OWN))
        )
    with pytest.raises(SourceNotPermitted):
        permit.require_command(
            BATCH, command(close_round=round_service_pb2.CloseRoundRequest(source_id="another"))
        )


def test_only_an_admin_gives_credit() -> None:
    method = "/stakehold.v1.AdminService/OpenWallet"
    plain = admin_service_pb2.OpenWalletRequest(player_id="p", currency_code="EUR")
    line = admin_service_pb2.OpenWalletRequest(
        player_id="p", currency_code="EUR", credit_line=money_pb2.Money(currency_code="EUR", amount="5")
    )

    assert may(caller(Role.PLATFORM), method, plain)
    assert not may(caller(Role.PLATFORM), method, line)
    assert may(caller(Role.ADMIN), method, line)


def test_where_nobody_is_asked_everything_may_be_done() -> None:
    permit = Permits().of(DEVELOPMENT)

    permit.require(DEBIT, DebitRequest(source_id="any", kind=kind("CORRECTION")))
    permit.require_command(BATCH, command_pb2.Command(debit=DebitRequest(source_id="any")))


def test_callers_of_one_name_are_told_apart_by_what_they_may() -> None:
    permits = Permits()
    before, after = caller(Role.GAME), caller(Role.OPERATOR)

    permits.of(before).require(DEBIT, DebitRequest(source_id=OWN, kind=kind("BET")))
    with pytest.raises(VerbNotPermitted):
        permits.of(after).require(DEBIT, DebitRequest(source_id=OWN, kind=kind("BET")))


def test_a_person_is_who_calls() -> None:
    approval = cashier_service_pb2.ApproveWithdrawalRequest(withdrawal_id="w")

    name_person(approval, "approver", caller(Role.APPROVER))

    assert approval.approver == "carol"
    name_person(approval, "approver", caller(Role.APPROVER))
    with pytest.raises(FieldInvalid, match="carol") as refused:
        name_person(fx_service_pb2.ConfirmRateRequest(by="dave"), "by", caller(Role.APPROVER))
    assert refused.value.field == "by"


def test_where_nobody_is_asked_a_person_is_taken_at_its_word() -> None:
    approval = cashier_service_pb2.ApproveWithdrawalRequest(approver="dave")

    name_person(approval, "approver", DEVELOPMENT)

    assert approval.approver == "dave"


def test_the_kinds_of_the_table_are_those_of_the_roles_that_may_use_them() -> None:
    by_method = ((DEBIT, DEBIT_KINDS), (CREDIT, CREDIT_KINDS), (HOLD, HOLD_KINDS))

    for method, kinds in by_method:
        assert set(kinds) == GRANTS[method].own


def _has(message: Descriptor, path: str) -> bool:
    name, _, rest = path.partition(".")
    field = message.fields_by_name.get(name)
    if field is None:
        return False
    return not rest or (field.message_type is not None and _has(field.message_type, rest))


def _named(method: MethodDescriptor, source_id: str = OWN) -> Any:
    """A request that names a source, where it can; of what streams, there is none yet."""
    request = _class_of(method.input_type)()
    if "source_id" in method.input_type.fields_by_name:
        request.source_id = source_id
    return request


def _class_of(message: Descriptor) -> Any:
    return next(found for found in _classes(message.file.name) if found.DESCRIPTOR is message)


def _classes(file: str) -> Iterator[Any]:
    module = importlib.import_module(file.removesuffix(".proto").replace("/", ".") + "_pb2")
    return (found for found in vars(module).values() if hasattr(found, "DESCRIPTOR"))


def test_the_page_about_security_says_what_the_code_does() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page_with(written(), page) == page, "run python -m tests.grants_page"
