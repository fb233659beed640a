"""One provider, as it is configured."""

from dataclasses import dataclass, field

from service.providers.adapter import Adapter
from service.providers.signatures import Scheme


@dataclass(frozen=True, slots=True)
class Provider:
    """``source_id`` is the registry's source that its transactions are of; several may share one, and its ids
    then. Where it ``uses_sessions``, a bet needs the token of one.
    """

    provider_id: str
    source_id: str
    uses_sessions: bool
    max_body_bytes: int
    scheme: Scheme = field(repr=False)
    adapter: Adapter = field(repr=False)
