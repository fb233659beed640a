"""The service over a real channel, as callers and operators use it, awaited or blocking."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc

from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import money_pb2, transaction_pb2
from stakehold.v1 import round_service_pb2 as round_pb
from stakehold.v1 import sportsbook_service_pb2 as sportsbook_pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub
from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests import requests
from tests.answers import Balance, Done, ShownSlip, read_balance, read_result, read_slip, refused
from tests.reference import Currency, Policies, Step

if TYPE_CHECKING:  # these exist for type checkers only
    from stakehold.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from stakehold.v1.round_service_pb2_grpc import RoundServiceAsyncStub
    from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceAsyncStub
    from stakehold.v1.wallet_service_pb2_grpc import WalletServiceAsyncStub

TIMEOUT_S = 30.0
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
_names = count(1)


def new_name(prefix: str) -> str:
    """A name that nothing else in this run has; each worker has servers of its own."""
    return f"{prefix}-{next(_names)}"


@dataclass(frozen=True, slots=True)
class WalletApi:
    """Every call raises Refused for any answer other than OK."""

    wallets: "WalletServiceAsyncStub"
    admin: "AdminServiceAsyncStub"
    sportsbook: "SportsbookServiceAsyncStub"
    rounds: "RoundServiceAsyncStub"

    async def transact(
        self, source_id: str, player_id: str, steps: Sequence[Step], *, timeout_s: float | None = TIMEOUT_S
    ) -> list[Done]:
        """One step goes through the RPC of its own, several through Transact."""
        return await self.send(requests.call(source_id, player_id, steps), timeout_s=timeout_s)

    async def send(self, request: requests.Request, *, timeout_s: float | None = TIMEOUT_S) -> list[Done]:
        try:
            if isinstance(request, wallet_pb.TransactRequest):
                response = await self.wallets.Transact(request, timeout=timeout_s)
                return [read_result(result) for result in response.results]
            method = _method((self.wallets, self.sportsbook, self.rounds), request)
            return [read_result((await method(request, timeout=timeout_s)).result)]
        except grpc.RpcError as error:
            raise refused(error) from None

    async def transaction(
        self, source_id: str, player_id: str, transaction_id: str
    ) -> wallet_pb.GetTransactionResponse:
        try:
            return await self.wallets.GetTransaction(
                _transaction_request(source_id, player_id, transaction_id), timeout=TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise refused(error) from None

    async def balances(self, player_id: str) -> list[Balance]:
        try:
            response = await self.wallets.GetWallet(
                wallet_pb.GetWalletRequest(player_id=player_id), timeout=TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise refused(error) from None
        return [read_balance(balance) for balance in response.balances]

    async def open_wallet(
        self, player_id: str, currency: str, *, credit_line: str = ""
    ) -> admin_pb.OpenWalletResponse:
        request = open_wallet_request(player_id, currency, credit_line=credit_line)
        try:
            return await self.admin.OpenWallet(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def set_status(
        self, player_id: str, currency: str, status: str, *, expected_version: int | None = None
    ) -> admin_pb.SetWalletStatusResponse:
        request = status_request(player_id, currency, status, expected_version)
        try:
            return await self.admin.SetWalletStatus(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def slip(self, source_id: str, player_id: str, slip_id: str) -> ShownSlip:
        request = sportsbook_pb.GetSlipRequest(source_id=source_id, player_id=player_id, slip_id=slip_id)
        try:
            return read_slip((await self.sportsbook.GetSlip(request, timeout=TIMEOUT_S)).slip)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def put_source(self, source_id: str, policies: Policies | None = None) -> None:
        try:
            await self.admin.PutSource(source_request(source_id, policies or Policies()), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def put_currency(self, code: str, currency: Currency) -> admin_pb.PutCurrencyResponse:
        try:
            return await self.admin.PutCurrency(currency_request(code, currency), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def put_denomination(
        self, code: str, currency: str, exponent: int
    ) -> admin_pb.PutDenominationResponse:
        request = denomination_request(code, currency, exponent)
        try:
            return await self.admin.PutDenomination(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None


@dataclass(frozen=True, slots=True)
class BlockingWalletApi:
    """The same for tests that cannot await."""

    wallets: WalletServiceStub
    admin: AdminServiceStub
    rounds: RoundServiceStub
    sportsbook: SportsbookServiceStub

    def slip(self, source_id: str, player_id: str, slip_id: str) -> ShownSlip:
        request = sportsbook_pb.GetSlipRequest(source_id=source_id, player_id=player_id, slip_id=slip_id)
        try:
            return read_slip(self.sportsbook.GetSlip(request, timeout=TIMEOUT_S).slip)
        except grpc.RpcError as error:
            raise refused(error) from None

    def close_round(
        self, source_id: str, player_id: str, transaction_id: str, *, round_id: str, game_id: str
    ) -> Done:
        request = round_pb.CloseRoundRequest(
            source_id=source_id,
            player_id=player_id,
            transaction_id=transaction_id,
            round_id=round_id,
            game_id=game_id,
        )
        try:
            return read_result(self.rounds.CloseRound(request, timeout=TIMEOUT_S).result)
        except grpc.RpcError as error:
            raise refused(error) from None

    def transact(self, source_id: str, player_id: str, steps: Sequence[Step], *, singly: bool) -> list[Done]:
        """``singly`` sends a lone step through the RPC of its own."""
        alone = singly or not all(map(requests.may_be_a_step, steps))
        request = (requests.call if alone else requests.transact)(source_id, player_id, steps)
        try:
            if isinstance(request, wallet_pb.TransactRequest):
                response = self.wallets.Transact(request, timeout=TIMEOUT_S)
                return [read_result(result) for result in response.results]
            method = _method((self.wallets, self.sportsbook, self.rounds), request)
            return [read_result(method(request, timeout=TIMEOUT_S).result)]
        except grpc.RpcError as error:
            raise refused(error) from None

    def transaction(
        self, source_id: str, player_id: str, transaction_id: str
    ) -> wallet_pb.GetTransactionResponse:
        return self.wallets.GetTransaction(
            _transaction_request(source_id, player_id, transaction_id), timeout=TIMEOUT_S
        )

    def balances(self, player_id: str) -> list[Balance]:
        try:
            response = self.wallets.GetWallet(
                wallet_pb.GetWalletRequest(player_id=player_id), timeout=TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise refused(error) from None
        return [read_balance(balance) for balance in response.balances]

    def open_wallet(
        self, player_id: str, currency: str, *, credit_line: str = ""
    ) -> admin_pb.OpenWalletResponse:
        request = open_wallet_request(player_id, currency, credit_line=credit_line)
        try:
            return self.admin.OpenWallet(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    def set_status(
        self, player_id: str, currency: str, status: str, *, expected_version: int | None = None
    ) -> admin_pb.SetWalletStatusResponse:
        request = status_request(player_id, currency, status, expected_version)
        try:
            return self.admin.SetWalletStatus(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    def put_source(self, source_id: str, policies: Policies) -> None:
        self.admin.PutSource(source_request(source_id, policies), timeout=TIMEOUT_S)

    def put_currency(self, code: str, currency: Currency) -> None:
        self.admin.PutCurrency(currency_request(code, currency), timeout=TIMEOUT_S)


@asynccontextmanager
async def wallet_api(address: str) -> AsyncIterator[WalletApi]:
    """Through a connection of its own, not one that this process has to the server already."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        yield awaited_api(channel)


@contextmanager
def blocking_wallet_api(address: str) -> Iterator[BlockingWalletApi]:
    with grpc.insecure_channel(address) as channel:
        yield BlockingWalletApi(
            WalletServiceStub(channel),
            AdminServiceStub(channel),
            RoundServiceStub(channel),
            SportsbookServiceStub(channel),
        )


def awaited_api(channel: grpc.aio.Channel) -> WalletApi:
    return WalletApi(
        WalletServiceStub(channel),
        AdminServiceStub(channel),
        SportsbookServiceStub(channel),
        RoundServiceStub(channel),
    )


def _method(services: Sequence[Any], request: requests.Request) -> Callable[..., Any]:
    """The RPC of which this is the request, by the name that both share."""
    name = type(request).__name__.removesuffix("Request")
    [method] = [getattr(service, name) for service in services if hasattr(service, name)]
    return method  # type: ignore[no-any-return]


def open_wallet_request(player_id: str, currency: str, *, credit_line: str) -> admin_pb.OpenWalletRequest:
    line = money_pb2.Money(currency_code=currency, amount=credit_line) if credit_line else None
    return admin_pb.OpenWalletRequest(player_id=player_id, currency_code=currency, credit_line=line)


def status_request(
    player_id: str, currency: str, status: str, expected_version: int | None
) -> admin_pb.SetWalletStatusRequest:
    return admin_pb.SetWalletStatusRequest(
        player_id=player_id,
        currency_code=currency,
        status=transaction_pb2.WalletStatus.Value(f"WALLET_STATUS_{status}"),
        reason="a test",
        expected_version=expected_version,
    )


def source_request(source_id: str, policies: Policies) -> admin_pb.PutSourceRequest:
    source = admin_pb.Source(
        source_id=source_id,
        display_name=source_id,
        status=admin_pb.SourceStatus.Value(f"SOURCE_STATUS_{policies.status}"),
        settled_rollback=admin_pb.SettledRollbackPolicy.Value(
            f"SETTLED_ROLLBACK_POLICY_{policies.settled_rollback}"
        ),
        unknown_bet=admin_pb.UnknownBetPolicy.Value(f"UNKNOWN_BET_POLICY_{policies.unknown_bet}"),
        late_win=admin_pb.LateWinPolicy.Value(f"LATE_WIN_POLICY_{policies.late_win}"),
        shortfall=admin_pb.ShortfallPolicy.Value(f"SHORTFALL_POLICY_{policies.shortfall}"),
        zero_amount=admin_pb.ZeroAmountPolicy.Value(f"ZERO_AMOUNT_POLICY_{policies.zero_amount}"),
    )
    return admin_pb.PutSourceRequest(source=source)


def currency_request(code: str, currency: Currency) -> admin_pb.PutCurrencyRequest:
    return admin_pb.PutCurrencyRequest(
        currency=admin_pb.Currency(
            currency_code=code,
            display_name=code,
            scale=currency.scale,
            kind=admin_pb.CURRENCY_KIND_CRYPTO,
            status=admin_pb.CurrencyStatus.Value(f"CURRENCY_STATUS_{currency.status}"),
        )
    )


def denomination_request(code: str, currency: str, exponent: int) -> admin_pb.PutDenominationRequest:
    denomination = admin_pb.Denomination(denomination_code=code, currency_code=currency, exponent=exponent)
    return admin_pb.PutDenominationRequest(denomination=denomination)


def _transaction_request(
    source_id: str, player_id: str, transaction_id: str
) -> wallet_pb.GetTransactionRequest:
    return wallet_pb.GetTransactionRequest(
        source_id=source_id, player_id=player_id, transaction_id=transaction_id
    )
