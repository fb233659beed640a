"""What callers may do, asked over mutual TLS; and what they were not let do is on record."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from service.cli import main
from service.embedded import EmbeddedValkey
from stakehold.v1 import access_service_pb2 as access_pb
from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import bulk_service_pb2 as bulk_pb
from stakehold.v1 import cashier_service_pb2 as cashier_pb
from stakehold.v1 import fx_service_pb2 as fx_pb
from stakehold.v1 import ledger_service_pb2 as ledger_pb
from stakehold.v1 import money_pb2, transaction_pb2
from stakehold.v1 import round_service_pb2 as round_pb
from stakehold.v1 import submission_service_pb2 as submission_pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from tests import requests
from tests.answers import Refused
from tests.household import ROLES, Household, Visitor, household, spiffe_id
from tests.ledgers import Ledgers
from tests.reference import Policies, Step
from tests.requests import transact
from tests.serving import Grounds, grounds
from tests.steps import bet, credit, debit, deposit, win
from tests.submissions import command
from tests.waiting import until
from tests.wallet_api import new_name, open_wallet_request, source_request

SOURCES = ("slots", "reels", "book", "psp", "promo")
APPROVE = "/stakehold.v1.CashierService/ApproveWithdrawal"
SET_STATUS = "/stakehold.v1.AdminService/SetWalletStatus"


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def house(ground: Grounds, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Household]:
    async with household(ground, tmp_path_factory.mktemp("household")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def people(house: Household) -> AsyncIterator[dict[str, Visitor]]:
    async with AsyncExitStack() as stack:
        found = {name: await stack.enter_async_context(house.visitor(name)) for name in ROLES}
        for source in SOURCES:
            await found["ada"].ask(source_request(source, Policies()))
        yield found


@pytest_asyncio.fixture
async def player(people: dict[str, Visitor]) -> str:
    """Somebody with 100 EUR."""
    player_id = new_name("player")
    await people["lobby"].ask(open_wallet_request(player_id, "EUR", credit_line=""))
    await people["psp"].ask(requests.call("psp", player_id, [deposit("welcome", "100")]))
    return player_id


async def denied(visitor: Visitor, request: object) -> Refused:
    with pytest.raises(Refused) as caught:
        await visitor.ask(request)  # type: ignore[arg-type]
    assert caught.value.code == "PERMISSION_DENIED", caught.value
    return caught.value


async def cash(people: dict[str, Visitor], player: str) -> str:
    answer = await people["lobby"].ask(wallet_pb.GetWalletRequest(player_id=player))
    return str(answer.balances[0].cash)


async def recorded(
    people: dict[str, Visitor], count: int = 1, **wanted: object
) -> list[access_pb.AccessRecord]:
    """Denials are written in the background."""
    found: list[access_pb.AccessRecord] = []

    async def is_there() -> bool:
        found[:] = await people["aud"].access_records(**wanted)
        return len(found) >= count

    await until(is_there, what=f"the access log has {count} of {wanted}")
    return found


async def test_each_role_does_its_own(people: dict[str, Visitor], player: str) -> None:
    await people["slots"].ask(requests.call("slots", player, [bet("b1", "10")]))
    await people["slots"].ask(requests.call("slots", player, [win("w1", "5", of="b1")]))
    await people["promo"].ask(requests.call("promo", player, [credit("x1", "BONUS", "1")]))

    assert await cash(people, player) == "96.00"


@pytest.mark.parametrize(
    ("who", "step", "verb"),
    [
        ("slots", deposit("t1", "5"), "credit DEPOSIT"),
        ("slots", credit("t1", "BONUS", "5"), "credit BONUS"),
        ("slots", debit("t1", "WITHDRAWAL", "5"), "debit WITHDRAWAL"),
        ("slots", credit("t1", "CORRECTION", "5"), "credit CORRECTION"),
        ("psp", bet("t1", "5"), "debit BET"),
        ("psp", credit("t1", "WIN", "5"), "credit WIN"),
        ("promo", credit("t1", "JACKPOT_WIN", "5"), "credit JACKPOT_WIN"),
        ("promo", bet("t1", "5"), "Debit"),
        ("olga", bet("t1", "5"), "Debit"),
        ("ann", bet("t1", "5"), "Debit"),
        ("ada", deposit("t1", "5"), "Credit"),
        ("aud", deposit("t1", "5"), "Credit"),
        ("nobody", bet("t1", "5"), "Debit"),
    ],
)
async def test_money_moves_only_for_what_a_role_is_there_for(
    people: dict[str, Visitor], player: str, who: str, step: Step, verb: str
) -> None:
    source = who if who in {"slots", "psp", "promo"} else "slots"

    refusal = await denied(people[who], requests.call(source, player, [step]))

    assert refusal.reason == "VERB_NOT_PERMITTED"
    assert (refusal.details.metadata["caller"], refusal.details.metadata["verb"]) == (who, verb)
    assert await cash(people, player) == "100.00"
    [record] = await recorded(people, caller=who, player_id=player)
    assert (record.kind, record.reason) == (access_pb.ACCESS_RECORD_KIND_DENIED, "VERB_NOT_PERMITTED")
    assert (record.verb, record.peer, record.identified_by) == (verb, "127.0.0.1", "certificate")


async def test_what_was_denied_is_not_remembered(people: dict[str, Visitor], player: str) -> None:
    await denied(people["slots"], requests.call("slots", player, [deposit("t1", "5")]))

    looked_up = await people["slots"].ask(
        wallet_pb.GetTransactionRequest(source_id="slots", player_id=player, transaction_id="t1")
    )
    assert looked_up.state == wallet_pb.TRANSACTION_STATE_NOT_SEEN
    await people["slots"].ask(requests.call("slots", player, [bet("t1", "5")]))
    assert await cash(people, player) == "95.00"


async def test_nobody_acts_as_another_source_nor_learns_whether_there_is_one(
    people: dict[str, Visitor], player: str
) -> None:
    told = []
    for source in ("reels", "no-such-source"):
        refusal = await denied(people["slots"], requests.call(source, player, [bet("t1", "5")]))
        assert refusal.reason == "SOURCE_NOT_PERMITTED"
        assert refusal.details.metadata["source_id"] == source
        told.append(refusal.details.message.replace(source, ""))

    assert told[0] == told[1]
    unknown_player = await denied(people["slots"], requests.call("reels", "never-seen", [bet("t1", "5")]))
    assert unknown_player.reason == "SOURCE_NOT_PERMITTED"


async def test_a_game_reads_its_own_and_nothing_else(people: dict[str, Visitor], player: str) -> None:
    slots = people["slots"]
    await slots.ask(wallet_pb.GetWalletRequest(player_id=player))
    await slots.ask(round_pb.ListOpenRoundsRequest(player_id=player, source_id="slots"))
    await slots.ask(round_pb.ResumeSessionRequest(player_id=player, source_id="slots"))

    theirs = wallet_pb.GetTransactionRequest(source_id="psp", player_id=player, transaction_id="welcome")
    assert (await denied(slots, theirs)).reason == "SOURCE_NOT_PERMITTED"
    for everybodys in (
        round_pb.ListOpenRoundsRequest(player_id=player),
        round_pb.ResumeSessionRequest(player_id=player),
        submission_pb.ListSubmissionsRequest(),
    ):
        assert (await denied(slots, everybodys)).reason == "SOURCE_NOT_PERMITTED"
    for of_the_house in (
        ledger_pb.ListEntriesRequest(player_id=player, source_id="slots"),
        ledger_pb.GetStatementRequest(player_id=player, currency_code="EUR"),
        cashier_pb.ListWithdrawalsRequest(player_id=player, source_id="slots"),
        round_pb.ListReviewsRequest(),
        access_pb.ListAccessRecordsRequest(),
    ):
        assert (await denied(slots, of_the_house)).reason == "VERB_NOT_PERMITTED"


async def test_a_foreign_command_of_a_batch_is_refused_by_itself(
    people: dict[str, Visitor], player: str
) -> None:
    commands = [
        command("slots", player, bet("b1", "1")),
        command("reels", player, bet("b2", "1")),
        command("slots", player, deposit("d1", "50")),
        command("slots", player, bet("b3", "2")),
    ]

    answer = await people["slots"].ask(bulk_pb.BatchRequest(commands=commands))

    first, foreign, forbidden, last = answer.results
    assert first.HasField("done")
    assert last.HasField("done")
    assert (foreign.error.code, foreign.error.metadata["source_id"]) == (7, "reels")
    assert (forbidden.error.code, forbidden.error.metadata["verb"]) == (7, "credit DEPOSIT")
    assert await cash(people, player) == "97.00"
    records = await recorded(people, 2, caller="slots", player_id=player)
    assert {(record.reason, record.transaction_id) for record in records} == {
        ("SOURCE_NOT_PERMITTED", "b2"),
        ("VERB_NOT_PERMITTED", "d1"),
    }


async def test_a_foreign_command_of_a_stream_is_refused_by_itself(
    people: dict[str, Visitor], player: str
) -> None:
    sent = [
        bulk_pb.StreamRequest(correlation_id="1", command=command("slots", player, bet("b1", "1"))),
        bulk_pb.StreamRequest(correlation_id="2", command=command("psp", player, deposit("d1", "9"))),
        bulk_pb.StreamRequest(correlation_id="3", command=command("slots", player, bet("b3", "2"))),
    ]

    answers = await people["slots"].send(sent, answers_stream=True)

    results = {told.correlation_id: told.result for answer in answers for told in answer.results}
    assert results["1"].HasField("done")
    assert results["3"].HasField("done")
    assert results["2"].error.code == 7
    assert await cash(people, player) == "97.00"


async def test_what_is_submitted_is_asked_for_then_and_says_by_whom(
    people: dict[str, Visitor], player: str
) -> None:
    def messages(name: str, source: str, *steps: Step) -> list[submission_pb.SubmitRequest]:
        commands = [command(source, player, step) for step in steps]
        return [submission_pb.SubmitRequest(source_id=source, submission_id=name, commands=commands)]

    good, bad, foreign = new_name("match"), new_name("match"), new_name("match")
    answer = await people["slots"].send(messages(good, "slots", bet("b1", "1")), answers_stream=False)
    assert answer.receipt.submitted_by == "slots"
    with pytest.raises(Refused) as forbidden:
        await people["slots"].send(
            messages(bad, "slots", bet("b2", "1"), deposit("d1", "5")), answers_stream=False
        )
    for source in ("reels", "no-such-source"):
        with pytest.raises(Refused) as of_another:
            await people["slots"].send(messages(foreign, source, bet("b2", "1")), answers_stream=False)
        assert of_another.value.reason == "SOURCE_NOT_PERMITTED"

    assert forbidden.value.reason == "VERB_NOT_PERMITTED"
    with pytest.raises(Refused) as nothing:
        await people["slots"].ask(submission_pb.GetSubmissionRequest(source_id="slots", submission_id=bad))
    assert nothing.value.reason == "SUBMISSION_NOT_FOUND"


async def test_one_forbidden_step_refuses_all(people: dict[str, Visitor], player: str) -> None:
    refusal = await denied(people["slots"], transact("slots", player, [bet("b1", "1"), deposit("d1", "5")]))

    assert refusal.details.metadata["verb"] == "credit DEPOSIT"
    assert await cash(people, player) == "100.00"


async def test_a_credit_line_is_an_admins(people: dict[str, Visitor]) -> None:
    refusal = await denied(people["lobby"], open_wallet_request(new_name("player"), "EUR", credit_line="5"))

    assert refusal.details.metadata["verb"] == "OpenWallet credit_line"


async def test_who_is_not_known_is_on_record_with_what_it_claims(
    house: Household, people: dict[str, Visitor]
) -> None:
    async with house.visitor("mallory") as mallory:
        with pytest.raises(Refused) as refused:
            await mallory.ask(wallet_pb.GetWalletRequest(player_id="victim"))

    assert refused.value.code == "UNAUTHENTICATED"
    [record] = await recorded(people, player_id="victim")
    assert (record.caller, record.claimed) == ("", "spiffe://casino.example/mallory")
    assert (record.code, record.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_a_token_is_never_on_record(house: Household, people: dict[str, Visitor]) -> None:
    async with (
        house.visitor("slots", by_token=True) as known,
        house.visitor("mallory", by_token=True) as other,
    ):
        await denied(known, ledger_pb.ListEntriesRequest(player_id="by-token"))
        with pytest.raises(Refused):
            await other.ask(wallet_pb.GetWalletRequest(player_id="by-token"))

    records = await recorded(people, 2, player_id="by-token")
    assert {record.identified_by for record in records} == {"token", ""}
    assert not any("ey" in str(record) and "." * 2 in str(record) for record in records)
    assert not any(house.issuer.token("slots").split(".")[0] in str(record) for record in records)


async def test_an_approver_is_who_calls_whatever_it_says(people: dict[str, Visitor], player: str) -> None:
    amount = money_pb2.Money(currency_code="EUR", amount="10")
    name = new_name("withdrawal")
    asked = cashier_pb.RequestWithdrawalRequest(
        source_id="psp", player_id=player, withdrawal_id=name, amount=amount
    )
    assert (await people["psp"].ask(asked)).withdrawal.requested_by == "psp"

    approval = cashier_pb.ApproveWithdrawalRequest(source_id="psp", withdrawal_id=name, approver="abe")
    with pytest.raises(Refused) as in_anothers_name:
        await people["ann"].ask(approval)
    assert (in_anothers_name.value.reason, in_anothers_name.value.details.fields) == (
        "INVALID_FIELD",
        ("approver",),
    )
    approval.approver = ""
    assert list((await people["ann"].ask(approval)).withdrawal.approvers) == ["ann"]

    records = await recorded(people, 4, method=APPROVE)
    assert {record.caller for record in records} == {"ann"}
    [named] = [record for record in records if record.code == "INVALID_ARGUMENT"]
    [approved] = [record for record in records if record.code == "OK"]
    assert (named.details["approver"], approved.details["withdrawal_id"]) == ("abe", name)
    assert "approver" not in approved.details


async def test_nobody_approves_an_own_proposal_by_token_nor_by_certificate(
    house: Household, people: dict[str, Visitor], player: str
) -> None:
    name = new_name("correction")
    proposal = cashier_pb.ProposeCorrectionRequest(
        correction_id=name, player_id=player, currency_code="EUR", amount="5", reason="goodwill"
    )
    approval = cashier_pb.ApproveCorrectionRequest(correction_id=name)
    assert (await people["bo"].ask(proposal)).correction.author == "bo"

    async with house.visitor("bo", by_token=True) as by_token:
        for visitor in (people["bo"], by_token):
            with pytest.raises(Refused) as same:
                await visitor.ask(approval)
            assert same.value.reason == "APPROVAL_BY_SAME_PERSON"
    await denied(people["olga"], approval)
    assert (await people["ann"].ask(approval)).correction.approver == "ann"

    assert await cash(people, player) == "105.00"


async def test_nobody_confirms_an_own_rate(people: dict[str, Visitor]) -> None:
    pair = fx_pb.Pair(base="EUR", quote="NOK", stale_after_s=3600, jump_bps=100, two_person_bps=100)
    await people["ada"].ask(fx_pb.PutPairRequest(pair=pair))
    outcomes = []
    for mid in ("10", "20"):
        rate = fx_pb.PushedRate(base="EUR", quote="NOK", mid=mid)
        rate.published_time.GetCurrentTime()
        answer = await people["bo"].ask(fx_pb.PushRatesRequest(source="desk", rates=[rate]))
        outcomes += answer.results
    _, held = outcomes
    assert held.outcome == fx_pb.PUSH_OUTCOME_HELD

    with pytest.raises(Refused) as same:
        await people["bo"].ask(fx_pb.ConfirmRateRequest(rate_id=held.rate_id, reason="sure"))
    assert same.value.reason == "SAME_PERSON"
    confirmed = await people["ann"].ask(fx_pb.ConfirmRateRequest(rate_id=held.rate_id, reason="seen"))
    assert (confirmed.rate.pushed_by, confirmed.rate.decided_by) == ("bo", "ann")


async def test_who_freezes_a_wallet_and_why_is_on_record(people: dict[str, Visitor], player: str) -> None:
    freeze = admin_pb.SetWalletStatusRequest(
        player_id=player,
        currency_code="EUR",
        status=transaction_pb2.WALLET_STATUS_DEBITS_FROZEN,
        reason="a stolen card",
    )
    await people["olga"].ask(freeze)

    begun, ended = await recorded(people, 2, player_id=player, method=SET_STATUS)
    assert (begun.kind, ended.kind) == (
        access_pb.ACCESS_RECORD_KIND_BEGUN,
        access_pb.ACCESS_RECORD_KIND_ENDED,
    )
    assert begun.call_id == ended.call_id != ""
    assert (begun.caller, begun.why, begun.code, ended.code) == ("olga", "a stolen card", "", "OK")
    assert dict(begun.details) == {"currency_code": "EUR", "status": "WALLET_STATUS_DEBITS_FROZEN"}


async def test_an_administrative_call_that_fails_is_on_record(people: dict[str, Visitor]) -> None:
    missing = new_name("player")
    freeze = admin_pb.SetWalletStatusRequest(
        player_id=missing, currency_code="EUR", status=transaction_pb2.WALLET_STATUS_CLOSED, reason="x"
    )
    with pytest.raises(Refused):
        await people["olga"].ask(freeze)
    await denied(people["slots"], freeze)

    begun, *rest = await recorded(people, 3, player_id=missing)
    assert begun.kind == access_pb.ACCESS_RECORD_KIND_BEGUN
    assert {(record.caller, record.code, record.reason) for record in rest} == {
        ("olga", "NOT_FOUND", "WALLET_NOT_FOUND"),
        ("slots", "PERMISSION_DENIED", "VERB_NOT_PERMITTED"),
    }


async def test_administration_may_have_an_address_of_its_own(ground: Grounds, tmp_path: Path) -> None:
    currencies = admin_pb.ListCurrenciesRequest()
    async with (
        household(ground, tmp_path, admin_listen="127.0.0.1:0") as house,
        house.visitor("ada") as outside,
        house.visitor("ada", at_admin=True) as inside,
        house.visitor("slots", at_admin=True) as game,
    ):
        with pytest.raises(Refused) as elsewhere:
            await outside.ask(currencies)
        assert elsewhere.value.code == "UNIMPLEMENTED"
        assert (await inside.ask(currencies)).currencies
        await inside.access_records()
        await denied(game, source_request("slots", Policies()))
        with pytest.raises(Refused) as not_here:
            await inside.ask(wallet_pb.GetWalletRequest(player_id="p"))
        assert not_here.value.code == "UNIMPLEMENTED"


async def test_an_operators_commands_know_both_addresses_and_who_they_are(
    ground: Grounds, tmp_path: Path, player: str
) -> None:
    async with household(ground, tmp_path, admin_listen="127.0.0.1:0") as house:

        def says(name: str, *words: str) -> Result:
            certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
            house.premises.client_authority.issue(uris=[spiffe_id(name)]).write(certificate, key)
            authority = tmp_path / "servers.pem"
            authority.write_bytes(house.premises.server_authority.certificate)
            environment = {
                "STAKEHOLD_ADDRESS": house.server.address,
                "STAKEHOLD_ADMIN_ADDRESS": house.server.admin_address,
                "STAKEHOLD_CA_FILE": str(authority),
                "STAKEHOLD_CERT_FILE": str(certificate),
                "STAKEHOLD_KEY_FILE": str(key),
            }
            return CliRunner(env=environment).invoke(main, words)

        freeze = ("freeze", player, "--currency", "EUR", "--reason", "case 4711", "--yes")
        by_olga = await asyncio.to_thread(says, "olga", *freeze)
        by_aud = await asyncio.to_thread(says, "aud", *freeze)

        assert by_olga.exit_code == 0, by_olga.output
        assert (by_aud.exit_code, "VERB_NOT_PERMITTED" in by_aud.output) == (1, True)

        async def both_are_listed() -> bool:
            listed = await asyncio.to_thread(
                says, "aud", "access-log", "--player", player, "--output", "json"
            )
            assert listed.exit_code == 0, listed.output
            callers = {(record["caller"], record["code"]) for record in json.loads(listed.stdout)}
            return callers == {("olga", ""), ("olga", "OK"), ("aud", "PERMISSION_DENIED")}

        await until(both_are_listed, what="both are on record")


async def test_what_is_denied_at_the_very_end_is_on_record(
    ground: Grounds, tmp_path: Path, people: dict[str, Visitor]
) -> None:
    async with household(ground, tmp_path) as house, house.visitor("slots") as slots:
        await denied(slots, ledger_pb.ListEntriesRequest(player_id="at-the-end"))

    [record] = await people["aud"].access_records(player_id="at-the-end")
    assert (record.caller, record.count) == ("slots", 1)
