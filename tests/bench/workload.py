"""The requests, made and serialised before any clock starts."""

from stakehold.v1 import admin_service_pb2, money_pb2, transaction_pb2, wallet_service_pb2

SOURCE = "bench"
CURRENCY = "EUR"
HOT_PLAYER = "hot-player"
ECHO_METHOD = "/stakehold.bench.Echo/Echo"
PATHS = {
    "echo": ECHO_METHOD,
    "debit": "/stakehold.v1.WalletService/Debit",
    "tip": "/stakehold.v1.WalletService/Debit",
    "deposit": "/stakehold.v1.WalletService/Credit",
    "open": "/stakehold.v1.AdminService/OpenWallet",
    "look": "/stakehold.v1.WalletService/GetWallet",
}


def player_name(number: int) -> str:
    return f"player-{number:05}"


def requests(method: str, *, count: int, players: int, run: str, first: int = 0) -> list[bytes]:
    """``count`` requests in turn over the players from number ``first`` on (0 players: all for the hot one).
    ``run`` makes ids unique.

    Debits, and what the echo is sent, are bets of 0.01, each in a round of its own as slots send them; tips
    are debits without a round.
    """
    names = [player_name(number) for number in range(first, first + players)] or [HOT_PLAYER]
    make = {"echo": _bet, "debit": _bet, "tip": _tip, "deposit": _deposit, "open": _open, "look": _look}[
        method
    ]
    return [make(names[number % len(names)], f"{run}-{number:07}") for number in range(count)]


def _bet(player: str, name: str) -> bytes:
    return wallet_service_pb2.DebitRequest(
        source_id=SOURCE,
        player_id=player,
        transaction_id=name,
        kind=transaction_pb2.TRANSACTION_KIND_BET,
        amount=money_pb2.Money(currency_code=CURRENCY, amount="0.01"),
        round_id=f"round-{name}",
        game_id="bench-slots",
    ).SerializeToString()


def _tip(player: str, name: str) -> bytes:
    return wallet_service_pb2.DebitRequest(
        source_id=SOURCE,
        player_id=player,
        transaction_id=name,
        kind=transaction_pb2.TRANSACTION_KIND_TIP,
        amount=money_pb2.Money(currency_code=CURRENCY, amount="0.01"),
    ).SerializeToString()


def _deposit(player: str, name: str) -> bytes:
    return wallet_service_pb2.CreditRequest(
        source_id=SOURCE,
        player_id=player,
        transaction_id=name,
        kind=transaction_pb2.TRANSACTION_KIND_DEPOSIT,
        amount=money_pb2.Money(currency_code=CURRENCY, amount="1000000.00"),
    ).SerializeToString()


def _open(player: str, _: str) -> bytes:
    return admin_service_pb2.OpenWalletRequest(player_id=player, currency_code=CURRENCY).SerializeToString()


def _look(player: str, _: str) -> bytes:
    return wallet_service_pb2.GetWalletRequest(player_id=player).SerializeToString()
