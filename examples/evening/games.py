"""Ordinary play: slots, a crash game, a sportsbook and a live dealer's table."""

from examples.evening.cashier import stake, tops_up
from examples.evening.guest import Guest
from examples.evening.money import Currency
from examples.evening.moves import NO_ROUND, Move, Round, movement
from examples.evening.sources import CRASH, LIVE, SLOTS, SPORTSBOOK

SLOT_GAMES = ("lucky-lanterns", "pharaohs-ledger", "nine-lemons", "reef-riches")
TEAMS = ("Aston", "Bilbao", "Catania", "Dundee", "Espoo", "Fortaleza", "Gent", "Haifa", "Izmir", "Jena")


def new_round(guest: Guest, game_id: str) -> Round:
    return Round(guest.new_id("round"), game_id)


def bet(guest: Guest, source: str, currency: Currency, amount: int, in_round: Round = NO_ROUND) -> Move:
    """A stake, ready to be sent."""
    return movement(
        rpc="Debit",
        kind="BET",
        source=source,
        transaction_id=guest.new_id("bet"),
        currency=currency,
        amount=amount,
        in_round=in_round,
    )


def win(guest: Guest, of: Move, amount: int, *, kind: str = "WIN", close: bool = False) -> Move:
    """The result of a bet, ready to be sent."""
    return movement(
        rpc="Credit",
        kind=kind,
        source=of.source,
        transaction_id=guest.new_id("win"),
        currency=of.currency,
        amount=amount,
        in_round=of.round,
        reference=of.transaction_id,
        close=close,
    )


def prize(guest: Guest, source: str, currency: Currency, amount: int, *, kind: str) -> Move:
    """A win that needs no bet."""
    return movement(
        rpc="Credit",
        kind=kind,
        source=source,
        transaction_id=guest.new_id("prize"),
        currency=currency,
        amount=amount,
        metadata={"campaign": "valentine-2026"},
    )


def spins(guest: Guest, currency: Currency) -> None:
    """A few spins on one machine. Most are lost; each round is closed by its last win, of zero if need be."""
    game = guest.rng.choice(SLOT_GAMES)
    for _ in range(guest.rng.randint(2, 5)):
        spin = bet(guest, SLOTS, currency, stake(guest, currency), new_round(guest, game))
        guest.does(spin)
        luck = guest.rng.random()
        if luck > 0.9:
            guest.does(win(guest, spin, spin.amount * guest.rng.randint(1, 300) // 100))
        payout = spin.amount * guest.rng.randint(10, 900) // 100 if luck > 0.72 else 0
        guest.does(win(guest, spin, payout, close=True))
        guest.wait(guest.rng.randint(3, 12))


def free_spins(guest: Guest, currency: Currency) -> None:
    """Promotional wins, and once in a while the jackpot."""
    guest.does(
        prize(guest, SLOTS, currency, currency.chip_minor * guest.rng.randint(1, 9), kind="PROMOTIONAL_WIN")
    )
    if guest.rng.random() < 0.15:
        amount = currency.chip_minor * guest.rng.randint(2_000, 9_999) + 7
        guest.does(prize(guest, SLOTS, currency, amount, kind="JACKPOT_WIN"))
    guest.wait(guest.rng.randint(5, 60))


def crash(guest: Guest, currency: Currency) -> None:
    """Two bets on one flight, sometimes in the same instant, each cashed out or lost on its own."""
    flight = new_round(guest, "comet-flight")
    amounts = (stake(guest, currency), stake(guest, currency))
    tops_up(guest, currency, sum(amounts))
    first, second = (bet(guest, CRASH, currency, amount, flight) for amount in amounts)
    if guest.rng.random() < 0.4:
        guest.applies_together([first, second])
    else:
        guest.does(first)
        guest.does(second)
    guest.wait(guest.rng.randint(2, 30))
    for placed, close in ((first, False), (second, True)):
        multiplier = guest.rng.randint(101, 700) if guest.rng.random() < 0.45 else 0
        guest.does(win(guest, placed, placed.amount * multiplier // 100, close=close))
    guest.wait(guest.rng.randint(5, 20))


def slip(guest: Guest, currency: Currency) -> None:
    """A combination bet: one stake for all legs, and at most one win. Some are still open when we close."""
    legs = {}
    for number in range(1, guest.rng.randint(2, 6) + 1):
        home, away = guest.rng.sample(TEAMS, 2)
        odds = guest.rng.randint(105, 480)
        legs[f"leg-{number}"] = f"{home} - {away}: {guest.rng.choice('1X2')} @ {odds // 100}.{odds % 100:02}"
    amount = stake(guest, currency)
    placed = movement(
        rpc="Debit",
        kind="BET",
        source=SPORTSBOOK,
        transaction_id=guest.new_id("slip"),
        currency=currency,
        amount=amount,
        in_round=new_round(guest, "prematch"),
        metadata=legs,
    )
    guest.does(placed)
    guest.wait(guest.rng.randint(600, 3600))
    fate = guest.rng.random()
    if fate < 0.25:
        guest.does(win(guest, placed, amount * guest.rng.randint(150, 2500) // 100, close=True))
    elif fate < 0.35:
        guest.does(win(guest, placed, amount, kind="REFUND", close=True))
    elif fate < 0.80:
        guest.does(win(guest, placed, 0, close=True))


def live_table(guest: Guest, currency: Currency) -> None:
    """A hand with a side bet at a dealer's table; winners may leave a tip."""
    hand = new_round(guest, "blackjack-vip-2")
    main = bet(guest, LIVE, currency, stake(guest, currency), hand)
    guest.does(main)
    side = bet(guest, LIVE, currency, stake(guest, currency), hand)
    guest.does(side)
    guest.wait(guest.rng.randint(20, 50))
    payout = guest.rng.choice((0, 0, 100, 200, 250)) * main.amount // 100
    guest.does(win(guest, main, payout))
    guest.does(win(guest, side, 0, close=True))
    if payout > main.amount:
        guest.does(tip(guest, currency, currency.chip_minor))
    guest.wait(guest.rng.randint(10, 60))


def tip(guest: Guest, currency: Currency, amount: int) -> Move:
    """A tip for the dealer, ready to be sent."""
    return movement(
        rpc="Debit",
        kind="TIP",
        source=LIVE,
        transaction_id=guest.new_id("tip"),
        currency=currency,
        amount=amount,
        metadata={"dealer": guest.rng.choice(("Ines", "Marko", "Yuki"))},
    )


GAMES = (spins, spins, spins, free_spins, crash, crash, slip, live_table)
"""What there is to play, each as often as it is popular."""
