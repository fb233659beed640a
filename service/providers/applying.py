"""Does what a callback asks for: by the same calls of the same engine as WalletService does."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from fx.amounts import AmountInvalid, format_amount
from fx.denominations import Denomination
from persistence.calls import Call, PlayerView, SessionFault, StepResult
from persistence.errors import (
    CurrencyUnknown,
    DeadlineExceeded,
    FieldInvalid,
    RefusalReason,
    Refused,
    StakeholdError,
    WalletNotFound,
)
from persistence.postgres.sessions import Session
from persistence.transactions import WalletBalance
from persistence.valkey.engine import Engine
from service.conversions.calls import credit_call, debit_call, rollback_call
from service.conversions.fields import read_player_id
from service.conversions.results import currencies_of
from service.providers.adapter import (
    Asked,
    BalanceAsked,
    BetAsked,
    Finding,
    PlayerAsked,
    Problem,
    RollbackAsked,
    TransactionAsked,
    WinAsked,
)
from service.providers.amounts import Balance, Unit, to_minor
from service.providers.problems import problem_of
from service.providers.provider import Provider
from service.providers.sessions import Sessions
from service.registry import Registry
from stakehold.v1 import money_pb2, transaction_pb2, wallet_service_pb2

_SESSION_FAULTS: Mapping[Problem, SessionFault] = {
    Problem.TOKEN_UNKNOWN: SessionFault.UNKNOWN,
    Problem.TOKEN_EXPIRED: SessionFault.OVER,
    Problem.GAME: SessionFault.MISMATCH,
    Problem.CURRENCY: SessionFault.MISMATCH,
}
_UNTOLD_BALANCE = frozenset(
    (RefusalReason.SESSION_UNKNOWN, RefusalReason.SESSION_OVER, RefusalReason.SESSION_MISMATCH)
)
"""Whoever has no session is not told what the player has."""


class Applying:
    """Raises what is no answer to a provider; all that is one is a Finding."""

    def __init__(self, engine: Engine, registry: Registry, sessions: Sessions) -> None:
        self._engine = engine
        self._registry = registry
        self._sessions = sessions

    async def find(self, provider: Provider, asked: Asked, *, deadline: float) -> Finding:
        """Deadlines are in the event loop's time. Once money may have moved, the answer says so, or RETRY."""
        try:
            try:
                return await self._done(provider, asked, deadline)
            except CurrencyUnknown:  # another server may have put it a moment ago, and nothing has moved
                await self._renew_registry(deadline)
                return await self._done(provider, asked, deadline)
        except StakeholdError as error:
            return await self._finding_of(error, asked, deadline)

    async def _done(self, provider: Provider, asked: Asked, deadline: float) -> Finding:
        """Raises CurrencyUnknown only while nothing has moved."""
        match asked:
            case PlayerAsked():
                await self._player(asked.player_id, deadline)
                return Finding()
            case BalanceAsked():
                return await self._balance(provider, asked, deadline)
            case BetAsked():
                return await self._bet(provider, asked, deadline)
            case WinAsked():
                return await self._win(provider, asked, deadline)
            case RollbackAsked():
                return await self._rollback(provider, asked, deadline)
            case _:
                raise TypeError(f"nobody can answer {type(asked).__name__}")

    async def _renew_registry(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._registry.renew()
        except TimeoutError:
            raise DeadlineExceeded("the registry was not read in time") from None

    async def _balance(self, provider: Provider, asked: BalanceAsked, deadline: float) -> Finding:
        session = await self._session(provider, asked, deadline)
        if provider.uses_sessions and session is None:
            return Finding(Problem.TOKEN_UNKNOWN)
        unit = asked.unit
        if session is not None and not unit.code:
            unit = unit.named(session.currency)
        view = await self._player(asked.player_id, deadline)
        balance = await self._balance_in(view, unit)
        return Finding(balance=balance) if balance else Finding(Problem.CURRENCY)

    async def _bet(self, provider: Provider, asked: BetAsked, deadline: float) -> Finding:
        call = debit_call(
            wallet_service_pb2.DebitRequest(
                source_id=provider.source_id,
                player_id=asked.player_id,
                transaction_id=asked.transaction_id,
                kind=transaction_pb2.TRANSACTION_KIND_BET,
                amount=self._money(asked.amount, asked.unit),
                game_id=asked.game,
                round_id=asked.round,
                close_round=asked.closes_round,
                context=_context(asked),
            ),
            self._registry,
        )
        problem = await self._session_problem(provider, asked, deadline)
        if problem is None:
            return await self._transact(call, asked.unit, deadline)
        return await self._bet_in_vain(call, problem, asked.unit, deadline)

    async def _bet_in_vain(self, call: Call, problem: Problem, unit: Unit, deadline: float) -> Finding:
        """Refused by the wallet, which remembers it: so all copies of the bet are answered alike, whatever
        each found of the session. A bet that was decided before gets its answer again.
        """
        [step] = call.steps
        with_fault = replace(call, steps=(replace(step, session_fault=_SESSION_FAULTS[problem]),))
        try:
            return await self._transact(with_fault, unit, deadline)
        except Refused as refused:
            if refused.details.reason is RefusalReason.SESSION_MISMATCH and problem is Problem.CURRENCY:
                return Finding(problem)
            raise

    async def _win(self, provider: Provider, asked: WinAsked, deadline: float) -> Finding:
        kind = (
            transaction_pb2.TRANSACTION_KIND_PROMOTIONAL_WIN
            if asked.is_prize
            else transaction_pb2.TRANSACTION_KIND_WIN
        )
        call = credit_call(
            wallet_service_pb2.CreditRequest(
                source_id=provider.source_id,
                player_id=asked.player_id,
                transaction_id=asked.transaction_id,
                kind=kind,
                amount=self._money(asked.amount, asked.unit),
                game_id=asked.game,
                round_id=asked.round,
                reference_transaction_id=asked.reference,
                close_round=asked.closes_round,
                context=_context(asked),
            ),
            self._registry,
        )
        return await self._transact(call, asked.unit, deadline)

    async def _rollback(self, provider: Provider, asked: RollbackAsked, deadline: float) -> Finding:
        if asked.unit.code:
            asked.unit.denomination(self._registry)  # refused while nothing has moved, if at all
        call = rollback_call(
            wallet_service_pb2.RollbackRequest(
                source_id=provider.source_id,
                player_id=asked.player_id,
                transaction_id=asked.transaction_id,
                original_transaction_id=asked.original,
                game_id=asked.game,
                round_id=asked.round,
                context=_context(asked),
            ),
            self._registry,
        )
        finding = await self._transact(call, asked.unit, deadline)
        if finding.balance is None and finding.problem is None:
            return replace(finding, balance=await self._balance_beside(provider, asked, deadline))
        return finding

    async def _transact(self, call: Call, unit: Unit, deadline: float) -> Finding:
        """From the engine's answer on nothing is a refusal: what is raised then is RETRY."""
        (result,) = await self._engine.transact(call, deadline=deadline)
        await self._registry.learn(currencies_of([result]))
        return Finding(balance=self._balance_after(result, unit))

    def _balance_after(self, result: StepResult, unit: Unit) -> Balance | None:
        """The one that the first answer told, also to a replay."""
        told = result.balance_after or result.balance_now
        return None if told is None else self._shown(told, unit)

    async def _balance_beside(
        self, provider: Provider, asked: RollbackAsked, deadline: float
    ) -> Balance | None:
        """Of a rollback that found nothing to undo: the session's wallet, or the player's only one.

        The rollback is done: what cannot be read here is only left out.
        """
        try:
            unit = asked.unit
            session = None if unit.code else await self._session(provider, asked, deadline)
            if session is not None:
                unit = unit.named(session.currency)
            return await self._balance_in(await self._player(asked.player_id, deadline), unit)
        except StakeholdError:
            return None

    async def _balance_in(self, view: PlayerView, unit: Unit) -> Balance | None:
        await self._registry.know(balance.currency for balance in view.balances)
        if not unit.code:
            return self._shown(view.balances[0], unit) if len(view.balances) == 1 else None
        currency = unit.denomination(self._registry).currency
        return next((self._shown(one, unit) for one in view.balances if one.currency == currency), None)

    def _shown(self, balance: WalletBalance, unit: Unit) -> Balance:
        """In what the provider counts, if that is the wallet's currency; else in the wallet's own.

        Raises nothing: money may have moved by now, and no answer may take that for a refusal.
        """
        denomination = Denomination(balance.currency, balance.currency, unit.exponent)
        if unit.code:
            with suppress(CurrencyUnknown):
                named = unit.denomination(self._registry)
                denomination = named if named.currency == balance.currency else denomination
        return Balance(balance.buckets.cash, self._registry.scale_of(balance.currency), denomination)

    async def _player(self, player_id: str, deadline: float) -> PlayerView:
        """Raises WalletNotFound where the player has no wallet at all."""
        read = read_player_id(player_id)
        view = await self._engine.read_player(read, deadline=deadline)
        if not view.balances:
            raise WalletNotFound(player_id)
        return view

    async def _session_problem(self, provider: Provider, asked: BetAsked, deadline: float) -> Problem | None:
        if not provider.uses_sessions:
            return None
        session = await self._session(provider, asked, deadline)
        if session is None:
            return Problem.TOKEN_UNKNOWN
        if session.game and asked.game != session.game:
            return Problem.GAME
        if not self._sessions.is_open(session) and not asked.may_be_expired:
            return Problem.TOKEN_EXPIRED
        return Problem.CURRENCY if session.currency != asked.unit.code else None

    async def _session(self, provider: Provider, asked: Asked, deadline: float) -> Session | None:
        """The player's own with this provider, open or not."""
        session = await self._sessions.find(asked.token, deadline=deadline)
        if session is None or session.provider_id != provider.provider_id:
            return None
        return session if session.player_id == asked.player_id else None

    def _money(self, amount: int | str, unit: Unit) -> money_pb2.Money:
        """Raises CurrencyUnknown, and FieldInvalid for what is no whole number of minor units."""
        denomination = unit.denomination(self._registry)
        scale = self._registry.currency(denomination.currency, "currency").scale
        try:
            minor = to_minor(amount, denomination, scale)
        except AmountInvalid as error:
            raise FieldInvalid("amount", str(error)) from None
        return money_pb2.Money(currency_code=denomination.currency, amount=format_amount(minor, scale))

    async def _finding_of(self, error: StakeholdError, asked: Asked, deadline: float) -> Finding:
        problem = problem_of(error)
        if problem is None:
            raise error
        if not isinstance(error, Refused):
            return Finding(problem)
        if error.details.reason is RefusalReason.WALLET_NOT_FOUND:
            return Finding(await self._missing_wallet(asked, deadline))
        balance = None if error.details.reason in _UNTOLD_BALANCE else error.details.balance
        if balance is None or not isinstance(asked, BetAsked | WinAsked | RollbackAsked):
            return Finding(problem)
        await self._registry.learn([balance.currency])
        return Finding(problem, self._shown(balance, asked.unit))

    async def _missing_wallet(self, asked: Asked, deadline: float) -> Problem:
        """Whether it is the currency that is wrong, or the player."""
        try:
            await self._player(asked.player_id, deadline)
        except WalletNotFound:
            return Problem.PLAYER_UNKNOWN
        except StakeholdError:
            return Problem.RETRY
        return Problem.CURRENCY


def _context(asked: TransactionAsked) -> wallet_service_pb2.TransactionContext | None:
    return wallet_service_pb2.TransactionContext(metadata=asked.metadata) if asked.metadata else None
