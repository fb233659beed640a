"""What callers are told of whatever a call raised."""

import uuid

import structlog

from persistence.errors import OutcomeUnknown, Refused, StakeholdError
from service.errors import Explanation, explain, explain_bug
from service.registry import Registry

_log = structlog.get_logger(__name__)


async def explanation_of(error: Exception, registry: Registry, *, method: str) -> Explanation:
    """Of anything that an operation raises. What is not meant for callers is a bug: logged once, under an id
    that the caller gets.
    """
    try:
        await registry.learn(currencies_told_by(error))
    except OutcomeUnknown as unknown:
        error = unknown
    return explanation_at_once(error, registry, method=method)


def explanation_at_once(error: Exception, registry: Registry, *, method: str) -> Explanation:
    """The same where the registry knows all currencies that the error tells of."""
    if isinstance(error, StakeholdError):
        try:
            return explain(error, registry)
        except KeyError:
            pass
    incident_id = uuid.uuid4().hex
    _log.error("internal_error", method=method, incident_id=incident_id, exc_info=error)
    return explain_bug(incident_id)


def currencies_told_by(error: Exception) -> list[str]:
    """Those whose scales the explanation needs."""
    if isinstance(error, Refused) and error.details.balance is not None:
        return [error.details.balance.currency]
    return []
