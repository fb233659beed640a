"""Whether a store can keep the promise that an answered write is on disk."""

from collections.abc import Mapping

from persistence.errors import StoreUnsafe

OLDEST_VERSION = (7, 0)

_NEEDED = {
    "appendonly": ("yes", "without its append-only file the store forgets everything when it stops"),
    "appendfsync": ("always", "otherwise answers leave before the write is on disk"),
    "no-appendfsync-on-rewrite": ("no", "otherwise nothing is synced while the file is rewritten"),
    "maxmemory-policy": ("noeviction", "otherwise the store drops balances and ids when memory is short"),
}

CHECKED_SETTINGS = tuple(_NEEDED)

_LEAST_REPLICAS = "min-replicas-to-write"
ADVISED_SETTINGS = (_LEAST_REPLICAS,)


def check_store(version: str, settings: Mapping[str, str]) -> None:
    """Raises StoreUnsafe with what to change, for all that is wrong at once.

    ``version`` is INFO's redis_version (Valkey reports the compatible one), ``settings`` CONFIG GET's answer.
    """
    problems = []
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        problems.append(f"it is version {version}; Valkey 7.2 or Redis 7.0 is the oldest that works")
    for name, (needed, why) in _NEEDED.items():
        found = settings.get(name)
        if found is None:
            problems.append(f"CONFIG GET {name} is not allowed, so that it cannot be checked; allow it")
        elif found != needed:
            problems.append(f'set {name} to "{needed}" (it is "{found}"): {why}')
    if problems:
        raise StoreUnsafe("the store cannot keep acknowledged writes: " + "; ".join(problems))


def advice(settings: Mapping[str, str], replicas: int) -> str:
    """What would make a store that ``replicas`` are to confirm better; empty where there is nothing.

    Without it nothing is lost: calls are applied that cannot be confirmed while a replica is away, and their
    outcome is unknown. With it the store refuses them, and nothing was done.
    """
    found = settings.get(_LEAST_REPLICAS, "0")
    if found.isdecimal() and int(found) >= replicas:
        return ""
    return (
        f'set {_LEAST_REPLICAS} to "{replicas}" (it is "{found}"): then calls are refused, not left unknown'
    )
