"""The final whistle: what is settled, corrected and made void in the background, and what is sent again."""

from collections.abc import Sequence

from examples.evening.lines import Line, Script, ok, refusal
from examples.evening.moves import money
from examples.saturday.matches import Fate
from examples.saturday.punter import Punter, Submission
from examples.saturday.slips import Json, Slip
from examples.saturday.sources import BOOK

DECIDED_WITHIN_S = 300


def settles(submission: Submission, punter: Punter, slip: Slip, result: str, *, name: str = "won") -> None:
    """A settlement of all that is live, by a result."""
    amount = slip.match.payout(slip.live, slip.pick, result=result)
    settlement = punter.new_id(name)
    slip.last_id = settlement
    body = {"slipId": slip.slip_id, "amount": money(slip.currency, amount)}
    punter.submits(submission, "settleSlip", settlement, body, cash=slip.settle(amount))


def final_whistle(punters: Sequence[Punter], at_s: int) -> Submission:
    """All slips of all matches but the abandoned one; whatever cannot be settled any more is refused."""
    submission = Submission(f"final-whistle-{at_s}")
    for punter in punters:
        for slip in punter.slips:
            if slip.match.fate is Fate.ABANDONED:
                continue
            if slip.state == "OPEN":
                settles(submission, punter, slip, slip.match.told)
                if punter.rng.random() < 0.02:
                    _again(submission, punter)
            elif reason := _IN_VAIN.get(slip.state):
                body = {"slipId": slip.slip_id, "amount": money(slip.currency, slip.currency.chip_minor)}
                punter.submits_in_vain(submission, "settleSlip", punter.new_id("won"), body, reason)
    return submission


def corrections(punters: Sequence[Punter], at_s: int) -> Submission:
    """The wrong result is told right; the annulled goal is taken back; the abandoned match is void."""
    submission = Submission(f"corrections-{at_s}")
    for punter in punters:
        for slip in punter.slips:
            match (slip.match.fate, slip.state):
                case (Fate.WRONG_RESULT, "SETTLED"):
                    _resettles(submission, punter, slip)
                case (Fate.PREMATURE, "SETTLED"):
                    _unsettles(submission, punter, slip)
                    settles(submission, punter, slip, slip.match.final, name="again")
                case (Fate.ABANDONED, "OPEN"):
                    _voids(submission, punter, slip)
                case _:
                    pass
    return submission


def tell(script: Script, at_s: int, submission: Submission, *, stubborn: bool = False) -> None:
    """The operator submits; a stubborn one does not hear the answer, and submits again and again."""
    whole = _named(submission) | {"commandCount": len(submission.commands), "commands": submission.commands}
    if stubborn:
        script.lines.append(Line(at_s, "", "Submit", whole, [], lost="cancelled"))
        script.lines.append(Line(at_s, "", "Submit", whole, [ok()]))
        script.lines.append(Line(at_s, "", "Submit", whole, [ok(replayed=True)]))
        other = _named(submission) | {"commands": submission.commands[:1]}
        script.lines.append(Line(at_s, "", "Submit", other, [refusal("SUBMISSION_ID_CONFLICT")]))
    else:
        script.lines.append(Line(at_s, "", "Submit", whole, [ok(replayed=False)]))


def follow(script: Script, at_s: int, submission: Submission) -> None:
    """Until all is decided; then what became of each command."""
    refused = sum("reason" in expected for expected in submission.expect)
    counts = {"waiting": 0, "applied": len(submission.expect) - refused, "refused": refused, "dead": 0}
    asked = _named(submission)
    decided = Line(at_s, "", "GetSubmission", asked, [ok(submission=counts)], until_s=DECIDED_WITHIN_S)
    script.lines.append(decided)
    script.lines.append(
        Line(at_s, "", "ListResults", asked | {"pageSize": 1000}, [ok(commands=submission.expect)])
    )


def _again(submission: Submission, punter: Punter) -> None:
    """The sportsbook's queue delivers a settlement twice."""
    [(operation, command)] = submission.commands[-1].items()
    body = {name: field for name, field in command.items() if name in ("slipId", "amount")}
    punter.submits(submission, operation, command["transactionId"], body, cash=0, again=True)


def _resettles(submission: Submission, punter: Punter, slip: Slip) -> None:
    early = slip.paid - slip.match.payout(slip.live, slip.pick, result=slip.match.told)
    total = early + slip.match.payout(slip.live, slip.pick, result=slip.match.final)
    correction = punter.new_id("fix")
    slip.last_id = correction
    body = {"slipId": slip.slip_id, "total": money(slip.currency, total)}
    punter.submits(submission, "resettleSlip", correction, body, cash=slip.resettle(total))


def _unsettles(submission: Submission, punter: Punter, slip: Slip) -> None:
    undo = punter.new_id("annul")
    punter.submits(submission, "unsettleSlip", undo, {"slipId": slip.slip_id}, cash=slip.unsettle())


def _voids(submission: Submission, punter: Punter, slip: Slip) -> None:
    void = punter.new_id("void")
    body = {"slipId": slip.slip_id}
    if slip.paid:
        punter.submits_in_vain(submission, "voidSlip", void, body, "SLIP_SETTLED")
        return
    slip.last_id = void
    punter.submits(submission, "voidSlip", void, body, cash=slip.void())


def _named(submission: Submission) -> Json:
    return {"sourceId": BOOK, "submissionId": submission.submission_id}


_IN_VAIN = {
    "CASHED_OUT": "SLIP_CASHED_OUT",
    "CANCELLED": "BET_ROLLED_BACK",
    "EXPIRED": "HOLD_EXPIRED",
}
"""Why a slip in one of these states is not settled."""
