"""The requests, made and serialised before any clock starts."""

from google.protobuf.duration_pb2 import Duration

from stakehold.v1 import admin_service_pb2, money_pb2, transaction_pb2, wallet_service_pb2

SOURCE = "bench"
CURRENCY = "EUR"
FOREIGN_CURRENCY = "GBP"
"""What the game counts in where debits are converted."""
BOUGHT_CURRENCY = "USD"
"""What is bought where currencies are exchanged."""
HOT_PLAYER = "hot-player"
ECHO_METHOD = "/stakehold.bench.Echo/Echo"
PATHS = {
    "echo": ECHO_METHOD,
    "debit": "/stakehold.v1.WalletService/Debit",
    "foreign_debit": "/stakehold.v1.WalletService/Debit",
    "exchange": "/stakehold.v1.WalletService/Exchange",
    "quote": "/stakehold.v1.WalletService/LockQuote",
    "tip": "/stakehold.v1.WalletService/Debit",
    "deposit": "/stakehold.v1.WalletService/Credit",
    "open": "/stakehold.v1.AdminService/OpenWallet",
    "open_bought": "/stakehold.v1.AdminService/OpenWallet",
    "look": "/stakehold.v1.WalletService/GetWallet",
    "batch": "/stakehold.v1.BulkService/Batch",
    "stream": "/stakehold.v1.BulkService/Stream",
}


def player_name(number: int) -> str:
    return f"player-{number:05}"


def requests(method: str, *, count: int, players: int, run: str, first: int = 0) -> list[bytes]:
    """``count`` requests in turn over the players from number ``first`` on (0 players: all for the hot one).
    ``run`` makes ids unique.

    Debits, and what the echo is sent, are bets of 0.01, each in a round of its own as slots send them; tips
    are debits without a round. An exchange lacks its quote yet.
    """
    names = [player_name(number) for number in range(first, first + players)] or [HOT_PLAYER]
    make = _MAKERS[method]
    return [make(names[number % len(names)], f"{run}-{number:07}") for number in range(count)]


def with_quote(exchange: bytes, quoted: bytes) -> bytes:
    """An exchange of what was quoted in an answer."""
    quote = wallet_service_pb2.LockQuoteResponse.FromString(quoted).quote
    request = wallet_service_pb2.ExchangeRequest.FromString(exchange)
    request.quote_id = quote.quote_id
    return request.SerializeToString()


def _bet(player: str, name: str, currency: str = CURRENCY) -> bytes:
    return wallet_service_pb2.DebitRequest(
        source_id=SOURCE,
        player_id=player,
        transaction_id=name,
        kind=transaction_pb2.TRANSACTION_KIND_BET,
        amount=money_pb2.Money(currency_code=currency, amount="0.01"),
        round_id=f"round-{name}",
        game_id="bench-slots",
    ).SerializeToString()


def _foreign_bet(player: str, name: str) -> bytes:
    return _bet(player, name, FOREIGN_CURRENCY)


def _quote(player: str, _: str) -> bytes:
    return wallet_service_pb2.LockQuoteRequest(
        source_id=SOURCE,
        player_id=player,
        sell_currency_code=CURRENCY,
        buy_currency_code=BOUGHT_CURRENCY,
        sell_amount="0.10",
        time_to_live=Duration(seconds=120),
    ).SerializeToString()


def _exchange(player: str, name: str) -> bytes:
    return wallet_service_pb2.ExchangeRequest(
        source_id=SOURCE, player_id=player, transaction_id=name
    ).SerializeToString()


def _open_bought(player: str, _: str) -> bytes:
    return admin_service_pb2.OpenWalletRequest(
        player_id=player, currency_code=BOUGHT_CURRENCY
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


_MAKERS = {
    "echo": _bet,
    "debit": _bet,
    "foreign_debit": _foreign_bet,
    "quote": _quote,
    "exchange": _exchange,
    "tip": _tip,
    "deposit": _deposit,
    "open": _open,
    "open_bought": _open_bought,
    "look": _look,
}
