"""How a caller that has several servers is set up: docs/kubernetes.md has the same settings."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # A server that stops says so to whoever watches its health, and is given no more calls.
    "healthCheckConfig": {"serviceName": "stakehold.v1.WalletService"},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


@asynccontextmanager
async def balanced_channel(
    addresses: Sequence[str], *, policy: str = "round_robin"
) -> AsyncIterator[grpc.aio.Channel]:
    """With ``pick_first`` instead, all calls go to one server."""
    config = {**SERVICE_CONFIG, "loadBalancingConfig": [{policy: {}}]}
    options = (
        ("grpc.service_config", json.dumps(config)),
        # A server that was away is looked for again soon.
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.aio.insecure_channel(f"ipv4:{','.join(addresses)}", options=options) as channel:
        yield channel
