"""Opens what knows the callers, and the doors that they come in by."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from persistence.errors import SetupRefused
from service.callers.identifying import DevelopmentIdentifier, Identifier
from service.settings import Settings
from service.transport.doors import DevelopmentDoor, Door


async def open_entrance(
    settings: Settings, stack: AsyncExitStack, metrics_registry: CollectorRegistry
) -> tuple[Identifier, Door]:
    """Raises SetupRefused where neither is set up and nobody has said that it is for development."""
    if settings.insecure_development:
        return DevelopmentIdentifier(), DevelopmentDoor()
    raise SetupRefused(
        "there is no TLS: set STAKEHOLD_TLS_CERT_FILE, STAKEHOLD_TLS_KEY_FILE and STAKEHOLD_CALLERS_FILE; "
        "or, on a developer's own machine, STAKEHOLD_INSECURE_DEVELOPMENT=true"
    )
