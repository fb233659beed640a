"""Reads the ledger after the play: is everything in it, does it agree with the wallets, and with itself?"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import grpc

from service.demo.answers import total
from service.demo.slips import SlipBooks
from service.demo.tally import WalletName
from stakehold.v1 import (
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    transaction_pb2,
)

TIMEOUT_S = 30.0
AUDIT_TIMEOUT_S = 300.0
AT_ONCE = 8
PAGE = 1000
POLL_S = 0.05


@dataclass(slots=True)
class Drain:
    """How the ledger followed. Lags are recorded minus booked time."""

    waiting: dict[str, set[str]]
    lags_ms: list[float] = field(default_factory=list)
    caught_up_s: float | None = None

    def remaining(self) -> int:
        return sum(map(len, self.waiting.values()))

    def lag_ms(self, quantile: float) -> float:
        ordered = sorted(self.lags_ms) or [0.0]
        return ordered[min(int(len(ordered) * quantile), len(ordered) - 1)]


class Books:
    """The ledger, as its service shows it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def follow(
        self, entry_ids: Mapping[str, set[str]], *, patience_s: float, progress: Callable[[int], None]
    ) -> Drain:
        """Polls until every entry that an answer named is in the ledger, for as long as patience lasts."""
        drain = Drain({player: set(ids) for player, ids in entry_ids.items() if ids})
        started = time.monotonic()
        while drain.waiting:
            await asyncio.gather(*(self._look_for(player, drain) for player in list(drain.waiting)))
            progress(drain.remaining())
            elapsed_s = time.monotonic() - started
            if not drain.waiting:
                drain.caught_up_s = elapsed_s
            elif elapsed_s > patience_s:
                break
            else:
                await asyncio.sleep(POLL_S)
        return drain

    async def disagreements(self, wallets: Mapping[WalletName, transaction_pb2.WalletBalance]) -> list[str]:
        """Wallets whose statement does not close at what the wallet holds."""
        found = await asyncio.gather(*(self._disagreement(name, wallets[name]) for name in sorted(wallets)))
        return [sentence for sentence in found if sentence]

    async def book_slips(self, slips: SlipBooks) -> None:
        """Sums up the entries of all who played slips."""

        async def book(player: str) -> None:
            async for page in self._pages(player):
                slips.book(player, page)

        await asyncio.gather(*(book(player) for player in {player for player, _ in slips.played}))

    async def trial_balance(self) -> ledger_service_pb2.GetTrialBalanceResponse:
        request = ledger_service_pb2.GetTrialBalanceRequest()
        return await self._stub.GetTrialBalance(request, timeout=TIMEOUT_S)

    async def audit(self) -> tuple[list[ledger_service_pb2.Finding], ledger_service_pb2.AuditSummary | None]:
        """All findings and the summary, which is None where the stream ended without one."""
        findings, summary = [], None
        async for message in self._stub.Audit(ledger_service_pb2.AuditRequest(), timeout=AUDIT_TIMEOUT_S):
            if message.HasField("finding"):
                findings.append(message.finding)
            else:
                summary = message.summary
        return findings, summary

    async def _look_for(self, player: str, drain: Drain) -> None:
        missing = drain.waiting[player]
        async for page in self._pages(player):
            for entry in page:
                if entry.entry_id in missing:
                    missing.remove(entry.entry_id)
                    drain.lags_ms.append(_lag_ms(entry))
        if not missing:
            del drain.waiting[player]

    async def _pages(self, player: str) -> AsyncIterator[Sequence[ledger_service_pb2.Entry]]:
        token = ""
        while True:
            request = ledger_service_pb2.ListEntriesRequest(
                player_id=player, page_size=PAGE, page_token=token
            )
            async with self._at_once:
                page = await self._stub.ListEntries(request, timeout=TIMEOUT_S)
            yield page.entries
            token = page.next_page_token
            if not token:
                return

    async def _disagreement(self, name: WalletName, wallet: transaction_pb2.WalletBalance) -> str:
        player, currency = name
        request = ledger_service_pb2.GetStatementRequest(
            player_id=player, currency_code=currency, page_size=1
        )
        async with self._at_once:
            statement = await self._stub.GetStatement(request, timeout=TIMEOUT_S)
        held, stated = total(wallet), Decimal(statement.closing_balance)
        return "" if held == stated else f"{player} {currency}: {held} in the wallet, {stated} in the ledger"


def _lag_ms(entry: ledger_service_pb2.Entry) -> float:
    # Milliseconds of a lag need no exactness beyond a float's.
    lag = entry.recorded_time.ToNanoseconds() - entry.booked_time.ToNanoseconds()
    return lag / 1e6
