"""Ports that stay ours while nothing listens on them.

The kernel gives outgoing connections ports from its ephemeral range, so a server that was killed could find
its port taken when it comes back. These are below that range.
"""

import random

from service.embedded.ports import is_free

_LOWEST, _HIGHEST = 15_000, 32_000
_given: set[int] = set()


def lasting_port() -> int:
    """A free port that nothing else in this process was given."""
    while True:
        port = random.SystemRandom().randrange(_LOWEST, _HIGHEST)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
