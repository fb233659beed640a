"""The engine: every change of a wallet, and every read of one, is one script on the player's partition."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from lua import Script, load_script
from persistence.calls import Call, PlayerView, StepResult
from persistence.errors import (
    PartitionFenced,
    RefusalDetails,
    RefusalReason,
    Refused,
    WalletNotFound,
)
from persistence.transactions import (
    OPERATOR_SOURCE,
    CurrencyCode,
    PlayerId,
    SourceId,
    TransactionId,
    WalletBalance,
    WalletStatus,
    partition_of,
)
from persistence.valkey.keys import PlayerKeys, player_keys
from persistence.valkey.replies import (
    decode_player_reply,
    decode_set_wallet_reply,
    decode_transact_reply,
)
from persistence.valkey.requests import id_field, transact_arguments

TRANSACT = load_script("transact")
SET_WALLET = load_script("set_wallet")
READ_PLAYER = load_script("read_player")
SCRIPTS = (TRANSACT, SET_WALLET, READ_PLAYER)


class ScriptRunner(Protocol):
    """Runs a script where its keys are. ScriptBatcher is one."""

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str], *, deadline: float
    ) -> Sequence[bytes]: ...


class Engine:
    """Applies calls to wallets.

    ``witnesses`` has the witness of each partition that is open for service; one without is fenced.
    Deadlines are in the event loop's time. Beside what each method names, all of them raise PartitionFenced,
    StoreUnavailable, Overloaded and DeadlineExceeded (nothing was done) and OutcomeUnknown.
    """

    def __init__(self, runner: ScriptRunner, *, partition_count: int, witnesses: Mapping[int, str]) -> None:
        self._runner = runner
        self._partition_count = partition_count
        self._witnesses = witnesses

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        """Applies all steps or none; one result for each. Raises Refused."""
        partition, keys = self._locate(call.player_id)
        reply = await self._run(TRANSACT, partition, keys, transact_arguments(call), deadline)
        return decode_transact_reply(reply, call, partition)

    async def open_wallet(
        self, player_id: PlayerId, currency: CurrencyCode, *, credit_line: int, deadline: float
    ) -> tuple[WalletBalance, bool]:
        """Opens a wallet; returns it, and whether it is new."""
        partition, keys = self._locate(player_id)
        arguments = _set_wallet_arguments(player_id, "open", currency, credit_line=credit_line)
        reply = await self._run(SET_WALLET, partition, keys, arguments, deadline)
        wallet, created = decode_set_wallet_reply(reply, currency, partition)
        if wallet is None or not isinstance(created, bool):
            raise RuntimeError(f"opening a wallet was refused: {created}")
        return wallet, created

    async def set_wallet_status(
        self,
        player_id: PlayerId,
        currency: CurrencyCode,
        status: WalletStatus,
        *,
        reason: str,
        expected_version: int | None,
        deadline: float,
    ) -> tuple[WalletBalance, bool]:
        """Sets a status; returns the wallet, and whether it changed. Raises WalletNotFound, and Refused for
        an expected version that is not the wallet's.
        """
        partition, keys = self._locate(player_id)
        arguments = _set_wallet_arguments(
            player_id,
            "set_status",
            currency,
            status=status,
            expected_version=expected_version,
            metadata=json.dumps({"reason": reason}) if reason else "",
        )
        reply = await self._run(SET_WALLET, partition, keys, arguments, deadline)
        wallet, changed = decode_set_wallet_reply(reply, currency, partition)
        if wallet is None:
            raise WalletNotFound(player_id, currency)
        if isinstance(changed, RefusalReason):
            details = RefusalDetails(changed, TransactionId(""), 0, False, wallet, "", "")
            raise Refused(details, {"expected_version": str(expected_version)})
        return wallet, changed

    async def read_player(
        self,
        player_id: PlayerId,
        *,
        transaction: tuple[SourceId, TransactionId] | None = None,
        deadline: float,
    ) -> PlayerView:
        """All wallets of a player and, where asked for, what became of a transaction, at one moment."""
        partition, keys = self._locate(player_id)
        field = id_field(*transaction) if transaction else ""
        reply = await self._run(READ_PLAYER, partition, keys, [field], deadline)
        return decode_player_reply(reply, transaction[1] if transaction else None, partition)

    def _locate(self, player_id: PlayerId) -> tuple[int, PlayerKeys]:
        partition = partition_of(player_id, self._partition_count)
        return partition, player_keys(partition, player_id)

    async def _run(
        self, script: Script, partition: int, keys: PlayerKeys, arguments: list[str], deadline: float
    ) -> Sequence[bytes]:
        witness = self._witnesses.get(partition)
        if witness is None:
            raise PartitionFenced(partition)
        return await self._runner.run(
            script,
            (keys.epoch, keys.outbox, keys.wallets, keys.ids, keys.rounds),
            [witness, *arguments],
            deadline=deadline,
        )


def deadline_after(seconds: float) -> float:
    """The moment, in the running loop's time, so many seconds from now."""
    return asyncio.get_running_loop().time() + seconds


def _set_wallet_arguments(
    player_id: PlayerId,
    operation: str,
    currency: CurrencyCode,
    *,
    status: WalletStatus = WalletStatus.ACTIVE,
    credit_line: int = 0,
    expected_version: int | None = None,
    metadata: str = "",
) -> list[str]:
    return [
        player_id,
        OPERATOR_SOURCE,
        operation,
        currency,
        status,
        str(credit_line),
        "" if expected_version is None else str(expected_version),
        metadata,
    ]
