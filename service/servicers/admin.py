"""AdminService: wallets, currencies, denominations and sources."""

from typing import Any

from grpc.aio import ServicerContext

from fx.currencies import CurrencyStatus
from persistence.errors import CurrencyDisabled, FieldInvalid
from persistence.transactions import CurrencyCode
from persistence.valkey.engine import Engine
from service.conversions.administration import (
    currency_message,
    denomination_message,
    read_currency,
    read_denomination,
    read_reason,
    read_source,
    read_wallet_status,
    source_message,
)
from service.conversions.fields import read_money, read_player_id, read_version
from service.conversions.results import balance_message
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import admin_service_pb2 as pb
from stakehold.v1 import admin_service_pb2_grpc

Context = ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Wallets change on the hot path, as money does; everything else in the registry."""

    def __init__(self, engine: Engine, registry: Registry, deadlines: Deadlines) -> None:
        self._engine = engine
        self._registry = registry
        self._deadlines = deadlines

    async def OpenWallet(self, request: pb.OpenWalletRequest, context: Context) -> pb.OpenWalletResponse:
        player_id = read_player_id(request.player_id)
        currency = self._registry.currency(request.currency_code, "currency_code")
        credit_line = 0
        if request.HasField("credit_line"):
            named, credit_line = read_money(request.credit_line, self._registry, "credit_line")
            if named.code != currency.code:
                raise FieldInvalid("credit_line.currency_code", "must be the wallet's currency")
        if currency.status is CurrencyStatus.DISABLED:
            raise CurrencyDisabled(currency.code)
        balance, created = await self._engine.open_wallet(
            player_id,
            CurrencyCode(currency.code),
            credit_line=credit_line,
            deadline=self._deadlines.of(context),
        )
        return pb.OpenWalletResponse(balance=balance_message(balance, self._registry), created=created)

    async def SetWalletStatus(
        self, request: pb.SetWalletStatusRequest, context: Context
    ) -> pb.SetWalletStatusResponse:
        currency = self._registry.currency(request.currency_code, "currency_code")
        balance, changed = await self._engine.set_wallet_status(
            read_player_id(request.player_id),
            CurrencyCode(currency.code),
            read_wallet_status(request.status),
            reason=read_reason(request.reason),
            expected_version=read_version(request.expected_version)
            if request.HasField("expected_version")
            else None,
            deadline=self._deadlines.of(context),
        )
        return pb.SetWalletStatusResponse(balance=balance_message(balance, self._registry), changed=changed)

    async def ListCurrencies(
        self, request: pb.ListCurrenciesRequest, context: Context
    ) -> pb.ListCurrenciesResponse:
        currencies = [currency_message(currency) for currency in self._registry.currencies()]
        return pb.ListCurrenciesResponse(currencies=currencies)

    async def PutCurrency(self, request: pb.PutCurrencyRequest, context: Context) -> pb.PutCurrencyResponse:
        currency = read_currency(request.currency)
        created = await self._registry.put_currency(currency)
        return pb.PutCurrencyResponse(currency=currency_message(currency), created=created)

    async def ListDenominations(
        self, request: pb.ListDenominationsRequest, context: Context
    ) -> pb.ListDenominationsResponse:
        denominations = [denomination_message(each) for each in self._registry.denominations()]
        return pb.ListDenominationsResponse(denominations=denominations)

    async def PutDenomination(
        self, request: pb.PutDenominationRequest, context: Context
    ) -> pb.PutDenominationResponse:
        denomination = read_denomination(request.denomination, self._registry)
        created = await self._registry.put_denomination(denomination)
        return pb.PutDenominationResponse(denomination=denomination_message(denomination), created=created)

    async def PutSource(self, request: pb.PutSourceRequest, context: Context) -> pb.PutSourceResponse:
        source = read_source(request.source)
        created = await self._registry.put_source(source)
        return pb.PutSourceResponse(source=source_message(source), created=created)
