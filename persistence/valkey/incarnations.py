"""Which life of a primary a node is in: the incarnation, as INFO replication tells it."""

import re

from persistence.errors import StoreUnavailable

_ROLE = re.compile(r"^role:(\w+)\r?$", re.MULTILINE)
_REPLICATION_ID = re.compile(r"^master_replid:([0-9a-f]+)\r?$", re.MULTILINE)


def incarnation_of(replication: str) -> str:
    """The incarnation of the primary that sent this INFO replication: 40 hexadecimal digits.

    Raises StoreUnavailable for a node that is no primary: whatever it holds, it may not decide anything.
    """
    role, replication_id = _ROLE.search(replication), _REPLICATION_ID.search(replication)
    if role is None or replication_id is None:
        raise StoreUnavailable("the store does not say whether it is a primary")
    if role[1] != "master":
        raise StoreUnavailable("the store is a replica")
    return replication_id[1]
