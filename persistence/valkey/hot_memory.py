"""Reads all that the store remembers of a player, as of one moment."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lua import load_script
from persistence.errors import Overloaded
from persistence.player_memory import Texts
from persistence.transactions import CurrencyCode, OutboxPosition, WalletBalance
from persistence.valkey.records import decode_wallet
from persistence.valkey.requests import Recallable, Request
from persistence.valkey.residence import RESIDENCE, Residence

READ_MEMORY = load_script("read_memory")

MOST_AT_ONCE = 500
"""So many ids and rounds take the store half a millisecond, and everybody else waits as long."""

_FIELDS_PER_LOOK = 200
_TRIES = 5
_MOST_IN_THE_END = 20_000

Ask = Callable[[Request], Awaitable[Sequence[Any]]]
"""Asks the player's store. Its reply has lists in it."""


@dataclass(frozen=True, slots=True)
class HotMemory:
    """``until`` is a position: what has changed the player up to there is in it, and nothing from after it.

    ``is_all`` where nothing that the player ever did was forgotten.
    """

    until: OutboxPosition
    is_all: bool
    wallets: Mapping[str, WalletBalance]
    texts: Texts


async def read_memory(ask: Ask) -> HotMemory:
    """At once where it is little; else in parts, again and again until the player has not moved meanwhile.

    Raises what ``ask`` does; Overloaded for players who have much and never rest.
    """
    whole = await ask(_request("all", str(MOST_AT_ONCE)))
    if whole[0] != b"LARGE":
        return _memory([whole])
    for _ in range(_TRIES):
        parts = await _read_parts(ask)
        if parts is not None:
            return _memory(parts)
    whole = await ask(_request("all", str(_MOST_IN_THE_END)))
    if whole[0] == b"LARGE":
        raise Overloaded("the player does not rest, and has too much to be read at once", retry_delay_ms=1000)
    return _memory([whole])


async def _read_parts(ask: Ask) -> list[Sequence[Any]] | None:
    """None where the player moved meanwhile."""
    parts: list[Sequence[Any]] = []
    for which in ("rounds", "ids"):
        at = "0"
        while True:
            part = await ask(_request(which, at, str(_FIELDS_PER_LOOK)))
            if parts and part[1] != parts[0][1]:
                return None
            parts.append(part)
            at = part[3].decode()
            if at == "0":
                break
    return parts


def _request(*words: str) -> Request:
    return Request(READ_MEMORY, list(words), Recallable)


def _memory(parts: Sequence[Sequence[Any]]) -> HotMemory:
    """The first part was read first: nothing of the player is from after its end of the outbox."""
    _, marker, end, _, wallets, _, _ = parts[0]
    ids: dict[str, str] = {}
    rounds: dict[str, str] = {}
    for part in parts:
        ids.update(_pairs(part[5]))
        rounds.update(_pairs(part[6]))
    return HotMemory(
        OutboxPosition.parse(end.decode()),
        Residence.parse(marker.decode()).older == "",
        {
            CurrencyCode(currency): decode_wallet(currency, text)
            for currency, text in sorted(_pairs(wallets).items())
            if currency != RESIDENCE
        },
        Texts(ids, rounds),
    )


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {field.decode(): text.decode() for field, text in zip(flat[0::2], flat[1::2], strict=True)}
