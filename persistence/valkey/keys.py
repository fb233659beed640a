"""The names of all keys. Nothing else, in Python or in Lua, builds one.

Everything of a partition carries one hash tag, so that it lies in one Cluster slot and a script can reach it
all. A player's wallets, ids and rounds are one hash each: the keys of a call are known before it is decided,
whatever it refers to.

    {w<partition>}:epoch             string   the witness (persistence/witness.py)
    {w<partition>}:outbox            stream   records not drained yet
    {w<partition>}:forgotten         string   position up to which memory may have left the store
    {w<partition>}:wallets:<player>  hash     currency → wallet, and '' → the player's residence
    {w<partition>}:ids:<player>      hash     source US transaction id → what became of it
    {w<partition>}:rounds:<player>   hash     source US game US round → round
    {w<partition>}:confirmed         string   written at a batch's end, for replicas to confirm (slots.py)
    {w<partition>}:older:<player>    string   filter of the ids and rounds that the ledger alone knows
"""

from typing import NamedTuple

from persistence.transactions import PlayerId


class PlayerKeys(NamedTuple):
    """All keys that a script for one player is given, in the scripts' order of KEYS."""

    epoch: str
    outbox: str
    wallets: str
    ids: str
    rounds: str
    older: str
    forgotten: str


def epoch_key(partition: int) -> str:
    return f"{{w{partition}}}:epoch"


def outbox_key(partition: int) -> str:
    return f"{{w{partition}}}:outbox"


def forgotten_key(partition: int) -> str:
    return f"{{w{partition}}}:forgotten"


def wallets_key(partition: int, player_id: PlayerId) -> str:
    return f"{{w{partition}}}:wallets:{player_id}"


def player_keys(partition: int, player_id: PlayerId) -> PlayerKeys:
    return PlayerKeys(
        epoch=epoch_key(partition),
        outbox=outbox_key(partition),
        wallets=wallets_key(partition, player_id),
        ids=f"{{w{partition}}}:ids:{player_id}",
        rounds=f"{{w{partition}}}:rounds:{player_id}",
        older=f"{{w{partition}}}:older:{player_id}",
        forgotten=forgotten_key(partition),
    )
