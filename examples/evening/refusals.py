"""What the wallet must say no to, and what it must take all the same."""

from examples.evening.cashier import deposit, stake, tops_up
from examples.evening.games import bet, new_round, prize, win
from examples.evening.guest import Guest
from examples.evening.money import Currency
from examples.evening.moves import movement, rollback
from examples.evening.sources import LIVE, SLOTS, SPORTSBOOK

UNKNOWN_CURRENCY = "XQZ"


def too_little_money(guest: Guest, currency: Currency) -> None:
    """A refusal for lack of funds stands for its id, also when the money has come; a new id may try again."""
    amount = guest.purse(currency).cash + currency.chip_minor
    in_round = new_round(guest, "nine-lemons")
    refused = bet(guest, SLOTS, currency, amount, in_round)
    guest.refused(refused, "INSUFFICIENT_FUNDS", with_cash=True)
    guest.asks(refused, "REFUSED")
    guest.does(deposit(guest, currency, amount))
    guest.refused(refused, "INSUFFICIENT_FUNDS", replayed=True)
    guest.answers(rollback(refused, guest.new_id("rb")), "ORIGINAL_REFUSED")
    placed = bet(guest, SLOTS, currency, amount, in_round)
    guest.does(placed)
    guest.does(win(guest, placed, amount // 2, close=True))


def win_before_its_bet(guest: Guest, currency: Currency) -> None:
    """A win that overtakes its bet is not found, not remembered, and taken once the bet is in."""
    placed = bet(guest, SPORTSBOOK, currency, stake(guest, currency), new_round(guest, "prematch"))
    won = win(guest, placed, placed.amount * 2)
    guest.refused(won, "REFERENCE_NOT_FOUND")
    guest.does(placed)
    guest.does(won)


def closed_round(guest: Guest, currency: Currency) -> None:
    """After the last word a round takes no bet; a late win is paid and flagged."""
    placed = bet(guest, SLOTS, currency, stake(guest, currency), new_round(guest, "lucky-lanterns"))
    guest.does(placed)
    cash_then = guest.purse(currency).cash
    guest.does(win(guest, placed, 0, close=True))
    guest.refused(bet(guest, SLOTS, currency, currency.chip_minor, placed.round), "ROUND_CLOSED")
    guest.repeats_later(placed, cash_then=cash_then)
    guest.applies(win(guest, placed, placed.amount), late=True)


def frozen_wallet(guest: Guest, currency: Currency) -> None:
    """A frozen wallet takes no bets, but replays and wins; thawed, it plays on."""
    placed = bet(guest, LIVE, currency, stake(guest, currency), new_round(guest, "roulette-1"))
    guest.does(placed)
    guest.set_status(currency, "DEBITS_FROZEN", "the guest asked for a break")
    barred = bet(guest, LIVE, currency, currency.chip_minor)
    guest.refused(barred, "WALLET_FROZEN")
    guest.repeats(placed)
    guest.does(win(guest, placed, placed.amount * 3, close=True))
    guest.wait(600)
    guest.set_status(currency, "ACTIVE", "the break is over")
    guest.refused(barred, "WALLET_FROZEN", replayed=True)
    guest.does(bet(guest, LIVE, currency, currency.chip_minor))


def malformed(guest: Guest, currency: Currency) -> None:
    """Nonsense is refused before anything is looked at."""
    nonsense = ("1e1", "+5", "-0", " 5", "5,00", "0x10", "\u0665", "", "9" * 40)
    for amount in guest.rng.sample(nonsense, 3):
        broken = bet(guest, SLOTS, currency, currency.chip_minor)
        guest.refused(
            broken.with_body(amount={"currencyCode": currency.code, "amount": amount}), "INVALID_FIELD"
        )
    stranger = bet(guest, SLOTS, currency, currency.chip_minor)
    money = {"currencyCode": UNKNOWN_CURRENCY, "amount": "1"}
    guest.refused(stranger.with_body(amount=money), "CURRENCY_UNKNOWN")
    guest.refused(stranger.with_body(amount={"currencyCode": "JPY", "amount": "10"}), "WALLET_NOT_FOUND")
    guest.refused(stranger.with_body(amount={"currencyCode": "JPY", "amount": "10.5"}), "INVALID_FIELD")


def expected_version(guest: Guest, currency: Currency) -> None:
    """A caller that read the wallet too early must read it again."""
    version = guest.purse(currency).version
    if version is None:
        return
    stale, fresh = (
        movement(
            rpc="Credit",
            kind="CORRECTION",
            source=SPORTSBOOK,
            transaction_id=guest.new_id("fix"),
            currency=currency,
            amount=currency.chip_minor,
            expected_version=seen,
        )
        for seen in (version - 1, version)
    )
    guest.refused(stale, "VERSION_MISMATCH")
    guest.applies(fresh)


def one_call(guest: Guest, currency: Currency) -> None:
    """Several steps in one call: all or nothing, and the same id twice in it counts once."""
    in_round = new_round(guest, "reef-riches")
    placed = bet(guest, SLOTS, currency, stake(guest, currency), in_round)
    guest.transacts([placed, win(guest, placed, placed.amount * 2, close=True)])
    twice = bet(guest, SLOTS, currency, stake(guest, currency))
    guest.transacts([twice, twice], replayed=[False, None])
    half = guest.purse(currency).cash // 2 + 1
    greedy = [bet(guest, SLOTS, currency, half) for _ in range(2)]
    guest.transact_refused(greedy, "INSUFFICIENT_FUNDS", step=1)
    for move in greedy:
        guest.asks(move, "REFUSED")


def win_is_taken_back(guest: Guest, currency: Currency) -> None:
    """A win is undone when its money is spent: the wallet goes below zero and waits for a deposit."""
    gift = prize(guest, SLOTS, currency, currency.chip_minor * 30, kind="PROMOTIONAL_WIN")
    guest.does(gift)
    guest.does(bet(guest, SLOTS, currency, guest.purse(currency).cash - 1))
    guest.applies(rollback(gift, guest.new_id("rb")))
    guest.refused(bet(guest, SLOTS, currency, 1), "INSUFFICIENT_FUNDS", with_cash=True)
    guest.does(deposit(guest, currency, currency.chip_minor * 50))


def debt_is_collected(guest: Guest, currency: Currency) -> None:
    """The same at the live tables, which stop at zero: the rest is owed, and paid by the next deposit."""
    gift = prize(guest, LIVE, currency, currency.chip_minor * 30, kind="PROMOTIONAL_WIN")
    guest.does(gift)
    guest.does(bet(guest, LIVE, currency, guest.purse(currency).cash - currency.chip_minor))
    guest.clamped(rollback(gift, guest.new_id("rb")))
    guest.applies(deposit(guest, currency, currency.chip_minor * 20))
    guest.applies(deposit(guest, currency, currency.chip_minor * 20))


def all_or_nothing_across_currencies(guest: Guest, currency: Currency) -> None:
    """One call on two wallets: the second cannot pay, so the first does not either."""
    others = [purse.currency for code, purse in guest.purses.items() if code != currency.code]
    if not others:
        return
    tops_up(guest, currency, currency.chip_minor)
    rich = bet(guest, SLOTS, currency, currency.chip_minor)
    poor = bet(guest, SLOTS, others[0], guest.purse(others[0]).cash + 1)
    guest.transact_refused([rich, poor], "INSUFFICIENT_FUNDS", step=1)
    guest.refused(rich, "INSUFFICIENT_FUNDS", replayed=True)


REFUSALS = (
    too_little_money,
    win_before_its_bet,
    closed_round,
    frozen_wallet,
    malformed,
    expected_version,
    one_call,
    win_is_taken_back,
    debt_is_collected,
    all_or_nothing_across_currencies,
)
