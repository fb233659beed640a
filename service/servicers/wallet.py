"""WalletService: bets, wins, rollbacks, and what became of them."""

from typing import Any

from grpc.aio import ServicerContext

from persistence.calls import Call, PlayerView
from persistence.errors import WalletNotFound
from persistence.transactions import SourceId
from persistence.valkey.engine import Engine
from service.conversions.calls import credit_call, debit_call, rollback_call, transact_call
from service.conversions.fields import read_player_id, read_transaction_id
from service.conversions.quotes import exchange_call, give_quote, quote_message
from service.conversions.results import balance_message, currencies_of, result_message, transaction_message
from service.conversions.slips import capture_call, hold_call, release_call
from service.quotes import Quotes
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import transaction_pb2, wallet_service_pb2_grpc
from stakehold.v1 import wallet_service_pb2 as pb

Context = ServicerContext[Any, Any]


class WalletServicer(wallet_service_pb2_grpc.WalletServiceServicer):
    """Answers from the hot path alone."""

    def __init__(self, engine: Engine, registry: Registry, quotes: Quotes, deadlines: Deadlines) -> None:
        self._engine = engine
        self._registry = registry
        self._quotes = quotes
        self._deadlines = deadlines

    async def Debit(self, request: pb.DebitRequest, context: Context) -> pb.DebitResponse:
        call = debit_call(request, self._registry)
        (result,) = await self._engine.transact(call, deadline=self._deadlines.of(context))
        if result.conversion is not None:
            await self._registry.learn(currencies_of([result]))
        return pb.DebitResponse(result=result_message(result, self._registry))

    async def Credit(self, request: pb.CreditRequest, context: Context) -> pb.CreditResponse:
        call = credit_call(request, self._registry)
        (result,) = await self._engine.transact(call, deadline=self._deadlines.of(context))
        if result.conversion is not None:
            await self._registry.learn(currencies_of([result]))
        return pb.CreditResponse(result=result_message(result, self._registry))

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        call = rollback_call(request, self._registry)
        (result,) = await self._engine.transact(call, deadline=self._deadlines.of(context))
        await self._registry.learn(currencies_of([result]))
        return pb.RollbackResponse(result=result_message(result, self._registry))

    async def Hold(self, request: pb.HoldRequest, context: Context) -> pb.HoldResponse:
        return pb.HoldResponse(result=await self._one(hold_call(request, self._registry), context))

    async def Capture(self, request: pb.CaptureRequest, context: Context) -> pb.CaptureResponse:
        return pb.CaptureResponse(result=await self._one(capture_call(request, self._registry), context))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        return pb.ReleaseResponse(result=await self._one(release_call(request, self._registry), context))

    async def Transact(self, request: pb.TransactRequest, context: Context) -> pb.TransactResponse:
        call = transact_call(request, self._registry)
        results = await self._engine.transact(call, deadline=self._deadlines.of(context))
        await self._registry.learn(currencies_of(results))
        return pb.TransactResponse(results=[result_message(result, self._registry) for result in results])

    async def LockQuote(self, request: pb.LockQuoteRequest, context: Context) -> pb.LockQuoteResponse:
        quote, text = give_quote(request, self._quotes, self._registry)
        return pb.LockQuoteResponse(quote=quote_message(quote, text, self._registry))

    async def Exchange(self, request: pb.ExchangeRequest, context: Context) -> pb.ExchangeResponse:
        call = exchange_call(request, self._quotes, self._registry)
        sold, bought = await self._engine.transact(call, deadline=self._deadlines.of(context))
        return pb.ExchangeResponse(
            sold=result_message(sold, self._registry), bought=result_message(bought, self._registry)
        )

    async def GetWallet(self, request: pb.GetWalletRequest, context: Context) -> pb.GetWalletResponse:
        player_id = read_player_id(request.player_id)
        view = await self._engine.read_player(player_id, deadline=self._deadlines.of(context))
        if not view.balances:
            raise WalletNotFound(player_id)
        await self._registry.learn(balance.currency for balance in view.balances)
        balances = [balance_message(balance, self._registry) for balance in view.balances]
        return pb.GetWalletResponse(player_id=player_id, balances=balances)

    async def GetTransaction(
        self, request: pb.GetTransactionRequest, context: Context
    ) -> pb.GetTransactionResponse:
        player_id = read_player_id(request.player_id)
        source = self._registry.source(request.source_id)
        transaction_id = read_transaction_id(request.transaction_id, "transaction_id")
        view = await self._engine.read_player(
            player_id,
            transaction=(SourceId(source.source_id), transaction_id),
            deadline=self._deadlines.of(context),
        )
        assert view.transaction is not None
        await self._registry.learn(_currencies_to_tell(view))
        return transaction_message(view.transaction, self._registry)

    async def _one(self, call: Call, context: Context) -> transaction_pb2.TransactionResult:
        (result,) = await self._engine.transact(call, deadline=self._deadlines.of(context))
        await self._registry.learn(currencies_of([result]))
        return result_message(result, self._registry)


def _currencies_to_tell(view: PlayerView) -> list[str]:
    """Those of the wallets, and what a converted amount or a slip was in."""
    currencies = [str(balance.currency) for balance in view.balances]
    record = view.transaction
    if record is not None and record.conversion is not None:
        currencies.append(record.conversion.lock.currency)
    if record is not None and record.slip is not None:
        currencies.append(record.slip.currency)
    return currencies
