"""Which headers of a provider's request come through the edge."""

NOT_PASSED_ON = frozenset(
    {
        "authorization",
        "connection",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""In lower case: what is the connection's own, and secrets that no provider of ours needs."""
