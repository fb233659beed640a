"""Slips before the kick-off: reserved, confirmed, lowered, cancelled, or simply placed."""

from collections.abc import Callable, Sequence

from examples.evening.money import EUR, Currency
from examples.evening.moves import money
from examples.saturday.matches import Match
from examples.saturday.punter import Punter
from examples.saturday.slips import HOME_RATE, Json, Slip
from examples.saturday.sources import KRONA, MORNING_RATE, locked

Placing = Callable[[Punter, Match], None]
BET = {"kind": "TRANSACTION_KIND_BET"}


def new_slip(punter: Punter, match: Match, currency: Currency | None = None) -> Slip:
    """A slip that nothing has happened to yet, of the player's from now on."""
    home = currency in (None, punter.currency)
    rate = HOME_RATE if home else locked(MORNING_RATE)
    pick = punter.rng.choice("1X2")
    slip = Slip(punter.new_id("slip"), match, pick, currency or punter.currency, rate)
    punter.slips.append(slip)
    return slip


def stake(punter: Punter, slip: Slip) -> int:
    """An amount that the player would bet, and has: in chips, and odd."""
    chips = punter.rng.choice((1, 1, 2, 2, 3, 5, 10))
    amount = slip.currency.chip_minor * chips + punter.rng.randint(0, slip.currency.chip_minor // 2)
    punter.has(-slip.copy().place(amount))
    return amount


def placement(punter: Punter, slip: Slip, amount: int) -> Json:
    """What PlaceSlip asks for."""
    body: Json = {"stake": money(slip.currency, amount), "gameId": slip.match.name}
    if slip.currency != punter.currency:
        body["walletCurrencyCode"] = punter.currency.code
    return body


def places(punter: Punter, match: Match, currency: Currency | None = None) -> Slip:
    slip = new_slip(punter, match, currency)
    amount = stake(punter, slip)
    body = placement(punter, slip, amount)
    slip.last_id = slip.slip_id
    punter.does("PlaceSlip", slip.slip_id, body, cash=slip.place(amount), slip=slip)
    return slip


def reserves(punter: Punter, match: Match, *, expire_time: str = "") -> tuple[Slip, int]:
    """A slip whose stake is held, and the stake."""
    slip = new_slip(punter, match)
    amount = stake(punter, slip) + 3
    punter.has(amount)
    body = BET | {"amount": money(slip.currency, amount), "gameId": match.name}
    if expire_time:
        body["expireTime"] = expire_time
    change = slip.hold(amount)
    slip.last_id = slip.slip_id
    # What runs out soon is sent once: a second answer may come too late to tell of a slip that is held.
    calm = bool(expire_time)
    punter.does("Hold", slip.slip_id, body, cash=change, held=-change, slip=slip, calm=calm)
    return slip, amount


def captures(punter: Punter, slip: Slip, amount: int, *, final: bool = False) -> None:
    capture = punter.new_id("cap")
    body = {"slipId": slip.slip_id, "amount": money(slip.currency, amount)} | (
        {"final": True} if final else {}
    )
    cash, held = slip.capture(amount, final=final)
    slip.last_id = capture
    punter.does("Capture", capture, body, cash=cash, held=held, slip=slip)


def placed(punter: Punter, match: Match) -> None:
    places(punter, match)


def in_kronor(punter: Punter, match: Match) -> None:
    """The kiosk counts in kronor; the wallet in euros does not."""
    places(punter, match, KRONA if punter.currency == EUR else None)


def reserved_in_parts(punter: Punter, match: Match) -> None:
    """Reserve, debit, debit, and commit: what was not taken comes back."""
    slip, amount = reserves(punter, match)
    captures(punter, slip, amount // 2)
    captures(punter, slip, amount // 3)
    commit = punter.new_id("commit")
    back = slip.release()
    slip.last_id = commit
    punter.does("Release", commit, {"slipId": slip.slip_id}, cash=back, held=-back, slip=slip)


def confirmed_lower(punter: Punter, match: Match) -> None:
    """The trader takes a part of the stake only."""
    slip, amount = reserves(punter, match)
    over = {"slipId": slip.slip_id, "amount": money(slip.currency, amount + 1)}
    punter.refused("Capture", punter.new_id("cap"), over, "HOLD_EXCEEDED")
    captures(punter, slip, amount * 3 // 4, final=True)


def cancelled(punter: Punter, match: Match) -> None:
    """Reserved, and thought better of."""
    slip, _ = reserves(punter, match)
    back = slip.release("CANCELLED")
    punter.rolls_back(slip.slip_id, slip, cash=back, held=-back)


def placed_and_cancelled(punter: Punter, match: Match) -> None:
    slip = places(punter, match)
    punter.rolls_back(slip.slip_id, slip, cash=slip.cancel())


def cancelled_too_early(punter: Punter, match: Match) -> None:
    """The cancel overtakes the reserve, which is then refused for ever."""
    slip = new_slip(punter, match)
    amount = stake(punter, slip)
    body = BET | {"amount": money(slip.currency, amount), "gameId": match.name}
    punter.slips.remove(slip)
    punter.forestalls(slip.slip_id)
    punter.refused("Hold", slip.slip_id, body, "TRANSACTION_ROLLED_BACK")


def expired(punter: Punter, match: Match) -> None:
    """The trader does not answer in time: the worker gives the stake back."""
    slip, amount = reserves(punter, match, expire_time="+1s")
    punter.waits_for_expiry(slip)
    late = {"slipId": slip.slip_id, "amount": money(slip.currency, amount)}
    punter.refused("Capture", punter.new_id("cap"), late, "HOLD_EXPIRED")


WAYS: Sequence[Placing] = (
    *(placed,) * 20,
    *(in_kronor,) * 4,
    *(reserved_in_parts,) * 2,
    *(confirmed_lower,) * 2,
    cancelled,
    placed_and_cancelled,
    cancelled_too_early,
)
"""How slips come about, each as often as it is usual; those that expire take their time and are few."""
