"""A player's wallets, and whether they take part in play."""

import time
from collections.abc import Sequence

from service.operators.cells import Column, short_name
from service.operators.office import Office
from service.operators.refusals import NO_ANSWER, NotDone
from service.operators.reports import Record
from stakehold.v1 import admin_service_pb2, transaction_pb2, wallet_service_pb2
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub

ACTIVE = transaction_pb2.WALLET_STATUS_ACTIVE
FROZEN = transaction_pb2.WALLET_STATUS_DEBITS_FROZEN
CLOSED = transaction_pb2.WALLET_STATUS_CLOSED
_MISMATCH = "VERSION_MISMATCH"


def balance_columns(path: str = "") -> list[Column]:
    """Columns of a WalletBalance that is found under ``path``."""
    amounts = ("cash", "bonus", "held", "receivable", "credit_line")
    return [
        Column("currency_code", f"{path}currency_code"),
        Column("status", f"{path}status"),
        *(Column(name, path + name, is_number=True) for name in amounts),
        Column("version", f"{path}version", is_number=True),
    ]


_SET = [Column("changed"), *balance_columns("balance.")]


def find_wallet(office: Office, player_id: str, currency_code: str) -> transaction_pb2.WalletBalance:
    """Raises NotDone where there is none."""
    request = wallet_service_pb2.GetWalletRequest(player_id=player_id)
    for balance in office.ask(WalletServiceStub(office.channel).GetWallet, request).balances:
        if balance.currency_code == currency_code:
            return balance
    raise NotDone(
        f"player {player_id} has no wallet in {currency_code} (WALLET_NOT_FOUND).", reason="WALLET_NOT_FOUND"
    )


def describe_wallet(player_id: str, balance: transaction_pb2.WalletBalance) -> str:
    """As in "ada's EUR wallet (ACTIVE, 90.00 cash, 0.00 held)"."""
    return (
        f"{player_id}'s {balance.currency_code} wallet ({status_name(balance.status)}, {balance.cash} cash, "
        f"{balance.held} held)"
    )


def status_name(status: int) -> str:
    return short_name(transaction_pb2.WalletStatus.DESCRIPTOR, status)


def set_status(
    office: Office,
    player_id: str,
    currency_code: str,
    status: transaction_pb2.WalletStatus.ValueType,
    *,
    reason: str,
    only_from: Sequence[int],
) -> Record:
    """Sets a wallet's status, unless it has one that is not among ``only_from``.

    What is looked at is what is changed: the call names the wallet's version, and is made anew when play has
    moved it on. So no wallet that somebody closes at the same moment is opened by being frozen.
    """
    give_up = time.monotonic() + office.timeout_s
    while True:
        balance = find_wallet(office, player_id, currency_code)
        if balance.status not in only_from:
            wallet = f"player {player_id}'s {currency_code} wallet"
            raise NotDone(f"{wallet} is {status_name(balance.status)}: nothing was done.")
        request = admin_service_pb2.SetWalletStatusRequest(
            player_id=player_id,
            currency_code=currency_code,
            status=status,
            reason=reason,
            expected_version=balance.version,
        )
        try:
            administration = office.administration()
            status_setter = AdminServiceStub(administration.channel).SetWalletStatus
            answer = administration.change(status_setter, request)
        except NotDone as refused:
            if refused.reason != _MISMATCH:
                raise
            if time.monotonic() > give_up:
                raise NotDone(
                    f"player {player_id}'s wallet changes too fast: nothing was done, try again.",
                    status=NO_ANSWER,
                ) from None
        else:
            return Record(_SET, answer)
