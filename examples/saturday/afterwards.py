"""After the corrections: what people look at by hand."""

from examples.evening.moves import money
from examples.saturday.punter import Punter
from examples.saturday.slips import Slip


def settlement_is_taken_back(punter: Punter, slip: Slip) -> None:
    """A settlement is rolled back, and the rollback itself is: the slip stands as it did."""
    settled, before = slip.copy(), slip.before
    if before is None:
        return
    undo = punter.rolls_back(slip.last_id, slip, cash=slip.restore(before))
    punter.rolls_back(undo, slip, cash=slip.restore(settled))


def too_old_to_take_back(punter: Punter, slip: Slip) -> None:
    """The stake cannot come back while a settlement stands."""
    body = {"originalTransactionId": slip.slip_id}
    punter.refused("Rollback", punter.new_id("undo"), body, "SLIP_MOVED_ON")


def settled_by_hand(punter: Punter, slip: Slip) -> None:
    """Unsettled, the money spent, and settled at nothing: the wallet may be below zero for a moment."""
    body = {"slipId": slip.slip_id}
    punter.does("UnsettleSlip", punter.new_id("hand"), body, cash=slip.unsettle(), slip=slip)
    lost = body | {"amount": money(slip.currency, 0)}
    settlement = punter.new_id("hand")
    slip.last_id = settlement
    punter.does("SettleSlip", settlement, lost, cash=slip.settle(0), slip=slip)


def counts_after_all(punter: Punter, slip: Slip) -> None:
    """A void slip is reopened: its goal fell before the lights went out."""
    body = {"slipId": slip.slip_id}
    amount = slip.live * 2
    won = body | {"amount": money(slip.currency, amount)}
    punter.refused("SettleSlip", punter.new_id("hand"), won, "SLIP_VOIDED")
    punter.has(slip.staked)
    punter.does("ReopenSlip", punter.new_id("reopen"), body, cash=slip.reopen(), slip=slip)
    settlement = punter.new_id("hand")
    slip.last_id = settlement
    punter.does("SettleSlip", settlement, won, cash=slip.settle(amount), slip=slip)


def complains(punter: Punter) -> None:
    """Some of a player's slips are looked at again."""
    for slip in punter.slips:
        luck = punter.rng.random()
        if slip.state == "VOIDED" and luck < 0.3:
            counts_after_all(punter, slip)
        elif slip.state == "SETTLED" and luck < 0.08:
            scene = punter.rng.choice((settlement_is_taken_back, too_old_to_take_back, settled_by_hand))
            scene(punter, slip)
        punter.wait(60)
