"""Connections to the store at an address, made so that the client library never sends anything twice."""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from persistence.errors import SetupRefused


def node_connections(url: str, timeout_s: float) -> Callable[[], Connection]:
    """A maker of connections to one node. ``timeout_s`` bounds connecting; reading is bounded by the reader.

    The library's own default is to send again, up to ten times, what was not answered in time. Here it never
    does. Raises SetupRefused for an address that is none.
    """
    try:
        settings: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise SetupRefused(f"STAKEHOLD_VALKEY_URL is not an address of a store: {error}") from error
    connection_class = settings.pop("connection_class", Connection)
    if not issubclass(connection_class, Connection | SSLConnection):
        raise SetupRefused("STAKEHOLD_VALKEY_URL must begin with redis:// or rediss://")
    settings |= {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "protocol": 2,
    }

    def connection() -> Connection:
        made = connection_class(**settings)
        assert isinstance(made, Connection)
        return made

    return connection
