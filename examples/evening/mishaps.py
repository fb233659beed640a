"""What goes wrong between a casino and its providers, and how it must end."""

from examples.evening.cashier import stake, tops_up
from examples.evening.games import bet, new_round, win
from examples.evening.guest import Guest
from examples.evening.lines import ok, refusal, result
from examples.evening.money import Currency
from examples.evening.moves import money, rollback
from examples.evening.sources import CRASH, LIVE, SLOTS, SPORTSBOOK


def rollback_overtakes_bet(guest: Guest, currency: Currency) -> None:
    """The rollback comes first: nothing to undo, but the late bet is refused for ever."""
    late = bet(guest, CRASH, currency, stake(guest, currency), new_round(guest, "comet-flight"))
    undo = rollback(late, guest.new_id("rb"))
    guest.answers(undo, "NO_ORIGINAL")
    guest.asks(late, "TOMBSTONED")
    guest.refused(late, "TRANSACTION_ROLLED_BACK", replayed=None)
    guest.answers(undo, "NO_ORIGINAL", "ALREADY_ROLLED_BACK", replayed=None)
    guest.refused(late, "TRANSACTION_ROLLED_BACK", replayed=None)


def bet_is_rolled_back(guest: Guest, currency: Currency) -> None:
    """A bet is undone, undone again under the same and another id, and sent again: it stays undone."""
    placed = bet(guest, SLOTS, currency, stake(guest, currency), new_round(guest, "nine-lemons"))
    guest.does(placed)
    undo = rollback(placed, guest.new_id("rb"), amount=placed.amount)
    guest.does(undo)
    guest.answers(undo, "APPLIED", "ALREADY_ROLLED_BACK", replayed=None)
    guest.answers(rollback(placed, guest.new_id("rb")), "ALREADY_ROLLED_BACK")
    guest.asks(placed, "ROLLED_BACK")
    guest.refused(placed, "TRANSACTION_ROLLED_BACK", replayed=None)
    guest.refused(win(guest, placed, placed.amount * 2), "BET_ROLLED_BACK")


def bet_races_its_rollback(guest: Guest, currency: Currency) -> None:
    """Bet and rollback arrive at once: whoever is first, the stake is not taken."""
    placed = bet(guest, SLOTS, currency, stake(guest, currency), new_round(guest, "reef-riches"))
    undo = rollback(placed, guest.new_id("rb"))
    guest.purse(currency).version = None
    guest.either(
        [placed, undo],
        [
            [ok(results=[result("APPLIED")]), refusal("TRANSACTION_ROLLED_BACK")],
            [ok(results=[result("APPLIED", "NO_ORIGINAL")])],
        ],
    )


def settled_bet_is_rolled_back(guest: Guest, currency: Currency) -> None:
    """A bet that was won cannot be undone before its win; both in one call can, in any order."""
    placed = bet(guest, SPORTSBOOK, currency, stake(guest, currency), new_round(guest, "prematch"))
    won = win(guest, placed, placed.amount * 3)
    guest.does(placed)
    guest.does(won)
    guest.refused(rollback(placed, guest.new_id("rb")), "BET_SETTLED")
    undo = [rollback(won, guest.new_id("rb")), rollback(placed, guest.new_id("rb"))]
    if guest.rng.random() < 0.5:
        undo.reverse()
    guest.transacts(undo)


def rollback_with_wrong_amount(guest: Guest, currency: Currency) -> None:
    """The caller undoes another amount than it took: refused, and the bet stands."""
    placed = bet(guest, CRASH, currency, stake(guest, currency), new_round(guest, "comet-flight"))
    guest.does(placed)
    guest.refused(rollback(placed, guest.new_id("rb"), amount=placed.amount + 1), "AMOUNT_MISMATCH")
    guest.does(win(guest, placed, 0, close=True))


def id_conflict(guest: Guest, currency: Currency) -> None:
    """The same id with another amount, round or reference is refused and changes nothing."""
    placed = bet(guest, SLOTS, currency, stake(guest, currency), new_round(guest, "pharaohs-ledger"))
    guest.does(placed)
    guest.refused(
        placed.with_body(amount=money(currency, placed.amount + currency.chip_minor)),
        "TRANSACTION_ID_CONFLICT",
    )
    guest.refused(placed.with_body(roundId=guest.new_id("round")), "TRANSACTION_ID_CONFLICT")
    guest.refused(placed.with_body(gameId="nine-lemons"), "TRANSACTION_ID_CONFLICT")
    cash_then = guest.purse(currency).cash
    guest.does(win(guest, placed, placed.amount * 2, close=True))
    guest.repeats_later(placed, cash_then=cash_then)


def answer_is_lost(guest: Guest, currency: Currency) -> None:
    """A timeout: the caller asks what became of its bet, then sends it again."""
    for how in ("dropped", "cancelled"):
        placed = bet(guest, LIVE, currency, stake(guest, currency), new_round(guest, "roulette-1"))
        guest.loses_answer(placed, how, asks_first=True)
        won = win(guest, placed, placed.amount * guest.rng.randint(0, 2), close=True)
        guest.loses_answer(won, how, asks_first=True)


def drained_at_once(guest: Guest, currency: Currency) -> None:
    """More parallel bets than the purse can pay: as many are taken as it can, and not one more."""
    affordable, wanted = 5, 8
    purse = guest.purse(currency)
    amount = stake(guest, currency) * 40
    tops_up(guest, currency, amount * affordable)
    spare = purse.cash - amount * affordable
    if spare:
        guest.does(bet(guest, LIVE, currency, spare))
    bets = [bet(guest, LIVE, currency, amount) for _ in range(wanted)]
    for _ in range(affordable):
        purse.move(-amount)
    guest.either(bets, [[ok(results=[result("APPLIED")]), refusal("INSUFFICIENT_FUNDS")]] * wanted)
    guest.refused(bet(guest, LIVE, currency, 1), "INSUFFICIENT_FUNDS", with_cash=True)


MISHAPS = (
    rollback_overtakes_bet,
    bet_is_rolled_back,
    bet_races_its_rollback,
    settled_bet_is_rolled_back,
    rollback_with_wrong_amount,
    id_conflict,
    answer_is_lost,
    drained_at_once,
)
