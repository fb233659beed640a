"""The names of all keys. Nothing else, in Python or in Lua, builds one.

Everything of a partition carries one hash tag, so that it lies in one Cluster slot and a script can reach it
all. A player's wallets, ids and rounds are one hash each: the keys of a call are known before it is decided,
whatever it refers to.

    {w<partition>}:epoch             string   the witness: the partition's epoch, a blank, the ledger's id
    {w<partition>}:outbox            stream   records not drained yet
    {w<partition>}:wallets:<player>  hash     currency → wallet
    {w<partition>}:ids:<player>      hash     source US transaction id → what became of it
    {w<partition>}:rounds:<player>   hash     source US game US round → round
"""

from dataclasses import dataclass

from persistence.transactions import PlayerId


@dataclass(frozen=True, slots=True)
class PlayerKeys:
    """All keys that a script for one player is given, in the scripts' order of KEYS."""

    epoch: str
    outbox: str
    wallets: str
    ids: str
    rounds: str


def epoch_key(partition: int) -> str:
    return f"{{w{partition}}}:epoch"


def outbox_key(partition: int) -> str:
    return f"{{w{partition}}}:outbox"


def wallets_key(partition: int, player_id: PlayerId) -> str:
    return f"{{w{partition}}}:wallets:{player_id}"


def player_keys(partition: int, player_id: PlayerId) -> PlayerKeys:
    return PlayerKeys(
        epoch=epoch_key(partition),
        outbox=outbox_key(partition),
        wallets=wallets_key(partition, player_id),
        ids=f"{{w{partition}}}:ids:{player_id}",
        rounds=f"{{w{partition}}}:rounds:{player_id}",
    )
