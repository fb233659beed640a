"""The API's services, as its protos name them."""

import importlib
from pathlib import Path

import stakehold.v1

_STUBS = Path(next(iter(stakehold.v1.__path__)))


def _declared() -> tuple[str, ...]:
    names: list[str] = []
    for path in sorted(_STUBS.glob("*_service_pb2.py")):
        module = importlib.import_module(f"stakehold.v1.{path.stem}")
        names += [service.full_name for service in module.DESCRIPTOR.services_by_name.values()]
    return tuple(names)


SERVICE_NAMES = _declared()
