"""Compares an answer with what a play's file allows."""

from collections.abc import Sequence
from decimal import Decimal

from service.demo.answers import Answer, Result
from service.demo.plays import Json
from stakehold.v1 import transaction_pb2


def surprise(allowed: Sequence[Json], answer: Answer, *, asked_again: bool) -> str:
    """What is wrong with the answer, as a sentence; empty where one of the alternatives fits.

    ``asked_again``: an earlier attempt may have been the first, so that `replayed` says nothing.
    """
    problems = [_mismatch(alternative, answer, asked_again=asked_again) for alternative in allowed]
    if not problems or "" in problems:
        return ""
    return f"{'; or '.join(problems)}; the answer was {answer}"


def _mismatch(allowed: Json, answer: Answer, *, asked_again: bool) -> str:
    if answer.code != allowed["code"]:
        return f"expected {allowed['code']} {allowed.get('reason', '')}".rstrip()
    if answer.reason != allowed.get("reason", ""):
        return f"expected the reason {allowed.get('reason')}"
    if "state" in allowed and answer.state not in allowed["state"]:
        return f"expected the state {' or '.join(allowed['state'])}"
    if "reason" in allowed:
        return _refusal_mismatch(allowed, answer, asked_again=asked_again)
    return (
        _results_mismatch(allowed, answer, asked_again=asked_again)
        or _balances_mismatch(allowed, answer)
        or _slips_mismatch(allowed, answer)
        or _submission_mismatch(allowed, answer, asked_again=asked_again)
        or _rates_mismatch(allowed, answer)
    )


def _refusal_mismatch(allowed: Json, answer: Answer, *, asked_again: bool) -> str:
    refusal = answer.refusal
    if refusal is None:
        # Only a caller's mistake is refused before there is a transaction to speak of.
        return "expected a Refusal among the details" if {"cash", "step"} & allowed.keys() else ""
    if "step" in allowed and refusal.step_index != allowed["step"]:
        return f"expected step {allowed['step']} to be refused, not {refusal.step_index}"
    if "replayed" in allowed and not asked_again and refusal.replayed != allowed["replayed"]:
        return f"expected replayed = {allowed['replayed']}"
    if "cash" in allowed:
        return _cash_mismatch(allowed["cash"], refusal.balance, "in the refusal")
    return ""


def _results_mismatch(allowed: Json, answer: Answer, *, asked_again: bool) -> str:
    if "results" not in allowed:
        return ""
    if len(answer.results) != len(allowed["results"]):
        return f"expected {len(allowed['results'])} results, not {len(answer.results)}"
    problems = (
        _result_mismatch(expected, result, asked_again=asked_again)
        for expected, result in zip(allowed["results"], answer.results, strict=True)
    )
    return next(filter(None, problems), "")


def _result_mismatch(allowed: Json, result: Result, *, asked_again: bool) -> str:
    if result.outcome not in allowed["outcome"]:
        return f"expected {' or '.join(allowed['outcome'])}"
    if "replayed" in allowed and not asked_again and result.replayed != allowed["replayed"]:
        return f"expected replayed = {allowed['replayed']}"
    if result.late != allowed.get("late", False):
        return f"expected late = {allowed.get('late', False)}"
    problem = ""
    if "cash" in allowed:
        problem = _cash_mismatch(allowed["cash"], result.balance_after, "after it")
    if "cashNow" in allowed:
        problem = problem or _cash_mismatch(allowed["cashNow"], result.balance_now, "now")
    if "slip" in allowed:
        problem = problem or slip_mismatch(allowed["slip"], result.slip)
    return problem


def slip_mismatch(expected: Json, slip: transaction_pb2.Slip | None) -> str:
    """Amounts that the play does not name are zero."""
    if slip is None:
        return "expected a slip"
    state = transaction_pb2.SlipState.Name(slip.state).removeprefix("SLIP_STATE_")
    if state != expected["state"]:
        return f"expected the slip to be {expected['state']}, not {state}"
    for name in _SLIP_AMOUNTS:
        told = getattr(slip, name).amount or "0"
        if not _same(told, expected.get(name, "0")):
            return f"expected {expected.get(name, '0')} {name} of the slip, not {told}"
    return ""


def _slips_mismatch(allowed: Json, answer: Answer) -> str:
    if "slips" not in allowed:
        return ""
    expected: Json = allowed["slips"]
    if expected.keys() != answer.slips.keys():
        missing = sorted(expected.keys() ^ answer.slips.keys())
        return f"expected {len(expected)} slips, not {len(answer.slips)}: {missing[0]} is in one of them only"
    problems = (
        f"{slip_id}: {problem}"
        for slip_id, slip in expected.items()
        if (problem := slip_mismatch(slip, answer.slips[slip_id]))
    )
    return next(problems, "")


def _submission_mismatch(allowed: Json, answer: Answer, *, asked_again: bool) -> str:
    if "replayed" in allowed and not asked_again and answer.replayed != allowed["replayed"]:
        return f"expected replayed = {allowed['replayed']}"
    if "commands" in allowed and len(allowed["commands"]) != len(answer.commands):
        return f"expected {len(allowed['commands'])} commands, not {len(answer.commands)}"
    if "submission" not in allowed:
        return ""
    told = answer.submission
    counts = {name: getattr(told, f"{name}_count", None) for name in allowed["submission"]}
    return "" if counts == allowed["submission"] else f"expected {allowed['submission']}, not {counts}"


def _rates_mismatch(allowed: Json, answer: Answer) -> str:
    if "pushed" in allowed and list(answer.pushed) != allowed["pushed"]:
        return f"expected the rates to be {allowed['pushed']}, not {list(answer.pushed)}"
    if "midRate" in allowed and not _same(answer.mid_rate, allowed["midRate"]):
        return f"expected the rate {allowed['midRate']}, not {answer.mid_rate}"
    return ""


def _cash_mismatch(cash: str, balance: transaction_pb2.WalletBalance | None, when: str) -> str:
    if balance is None:
        return f"expected a balance {when}"
    return "" if _same(balance.cash, cash) else f"expected cash {cash} {when}, not {balance.cash}"


def _balances_mismatch(allowed: Json, answer: Answer) -> str:
    if "balances" not in allowed:
        return ""
    wallets = {wallet.currency_code: wallet for wallet in answer.wallets}
    if wallets.keys() != allowed["balances"].keys():
        return f"expected wallets in {', '.join(allowed['balances'])}, not in {', '.join(wallets)}"
    problems = (_balance_mismatch(expected, wallets[code]) for code, expected in allowed["balances"].items())
    return "; ".join(filter(None, problems))


def _balance_mismatch(expected: Json, wallet: transaction_pb2.WalletBalance) -> str:
    where = f"in the {wallet.currency_code} wallet"
    if not _same(wallet.cash, expected["cash"]):
        return f"expected cash {expected['cash']} {where}, not {wallet.cash}"
    if not _same(wallet.receivable, expected["receivable"]):
        return f"expected {expected['receivable']} owed {where}, not {wallet.receivable}"
    if not _same(wallet.held, expected.get("held", "0")):
        return f"expected {expected.get('held', '0')} held {where}, not {wallet.held}"
    if wallet.version != expected.get("version", wallet.version):
        return f"expected version {expected['version']} {where}, not {wallet.version}"
    return ""


def _same(amount: str, expected: str) -> bool:
    return bool(amount) and Decimal(amount) == Decimal(expected)


_SLIP_AMOUNTS = ("held", "staked", "live", "paid", "cashed")
