"""Where the store is: STAKEHOLD_VALKEY_URL, read.

redis://[user:password@]host:port/0                    one primary; rediss:// with TLS
redis+cluster://[user:password@]host:port,host:port/   a Valkey Cluster, found through any of these nodes;
                                                       rediss+cluster:// with TLS
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from persistence.errors import SetupRefused

_CLUSTER = "+cluster"
_DEFAULT_PORT = 6379

_PARTS = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?")
"""Scheme, authority, path and query (RFC 3986, appendix B). ``urlsplit`` is for one host only, and newer ones
refuse brackets that are not around the whole of it.
"""


@dataclass(frozen=True, slots=True, order=True)
class NodeAddress:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """``seeds`` are the nodes that the address names. What they share, credentials and options, goes into the
    addresses of all nodes.
    """

    is_cluster: bool
    seeds: tuple[NodeAddress, ...]
    _url: str
    _scheme: str
    _credentials: str
    _options: str

    @classmethod
    def parse(cls, url: str) -> "StoreAddress":
        """Raises SetupRefused for an address that is none, without showing what may be a password in it."""
        try:
            scheme, authority, path, query = _parts(url)
            is_cluster = scheme.endswith(_CLUSTER)
            credentials, at, hosts = authority.rpartition("@")
            names = hosts.split(",") if is_cluster else [hosts]
            seeds = tuple(_node(name) for name in names if name or not is_cluster)
        except ValueError as error:
            raise SetupRefused(f"STAKEHOLD_VALKEY_URL is not an address of a store: {error}") from error
        scheme = scheme.removesuffix(_CLUSTER)
        if is_cluster and (scheme not in ("redis", "rediss") or not seeds or path not in ("", "/", "/0")):
            raise SetupRefused(
                "STAKEHOLD_VALKEY_URL is not an address of a Cluster: redis+cluster://host:port,host:port/, "
                "or rediss+cluster:// for TLS; a Cluster has no database but 0"
            )
        address = cls(is_cluster, seeds, url, scheme, credentials + at, query)
        _require_understood(address.url_of(seeds[0]))
        return address

    def url_of(self, node: NodeAddress) -> str:
        """The address of one node alone. A store that is no Cluster has but one."""
        if not self.is_cluster:
            return self._url
        options = f"?{self._options}" if self._options else ""
        return f"{self._scheme}://{self._credentials}{node}/0{options}"


def _require_understood(url: str) -> None:
    """Raises SetupRefused for what the client library cannot read."""
    try:
        parse_url(url)
    except ValueError as error:
        raise SetupRefused(f"STAKEHOLD_VALKEY_URL is not an address of a store: {error}") from error


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, authority, path and query; empty where there is none."""
    match = _PARTS.match(url)
    scheme, authority, path, query = match.groups(default="") if match else ("", "", "", "")
    return scheme.lower(), authority, path, query


def _node(name: str) -> NodeAddress:
    parts = urlsplit(f"//{name}")
    return NodeAddress(parts.hostname or "localhost", parts.port or _DEFAULT_PORT)
