"""While the ball rolls: cash-outs, and the first settlements."""

from examples.evening.moves import money
from examples.saturday.punter import Punter
from examples.saturday.slips import Json, Slip


def cashes_out(punter: Punter, slip: Slip, *, part: int) -> None:
    """For a part of the live stake, in hundredths; at a price that the moment makes."""
    share = max(1, slip.live * part // 100)
    amount = share * punter.rng.randint(20, 250) // 100
    body: Json = {"slipId": slip.slip_id, "amount": money(slip.currency, amount)}
    if share < slip.live:
        body["stake"] = money(slip.currency, share)
    cash_out = punter.new_id("cash")
    slip.last_id = cash_out
    punter.does("CashOutSlip", cash_out, body, cash=slip.cash_out(amount, share), slip=slip)


def asks_for_too_much(punter: Punter, slip: Slip) -> None:
    body = {
        "slipId": slip.slip_id,
        "amount": money(slip.currency, 1),
        "stake": money(slip.currency, slip.live + 1),
    }
    punter.refused("CashOutSlip", punter.new_id("cash"), body, "STAKE_EXCEEDED")


def early_pay_out(punter: Punter, slip: Slip) -> None:
    """A half-time leg is paid before the rest is known."""
    amount = slip.live * 3 // 10
    body = {"slipId": slip.slip_id, "amount": money(slip.currency, amount), "partial": True}
    leg = punter.new_id("leg")
    slip.last_id = leg
    punter.does("SettleSlip", leg, body, cash=slip.settle(amount, partial=True), slip=slip)


def watches(punter: Punter) -> None:
    """One player's match, with a thumb on the button."""
    for slip in [slip for slip in punter.slips if slip.state == "OPEN"]:
        luck = punter.rng.random()
        if luck < 0.08:
            cashes_out(punter, slip, part=100)
        elif luck < 0.16:
            cashes_out(punter, slip, part=punter.rng.randint(20, 80))
            if slip.currency == punter.currency and punter.rng.random() < 0.3:
                cashes_out(punter, slip, part=100)
        elif luck < 0.18:
            asks_for_too_much(punter, slip)
            early_pay_out(punter, slip)
        punter.wait(120)
