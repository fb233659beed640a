"""Requests of every RPC, made from their descriptors: plausible ones, and ones with too much in a field."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

import stakehold.v1

SOURCE_ID = "games"
"""Whose requests they are: to be put before."""

_STUBS = Path(next(iter(stakehold.v1.__path__)))
_DEEPEST = 5
_TEXTS = {"amount": "1.00", "source_id": SOURCE_ID, "mid": "1.5", "bid": "1.5", "ask": "1.5"}


@dataclass(frozen=True, slots=True)
class Rpc:
    """``path`` is what gRPC calls it by."""

    path: str
    request: type[Message]

    def plausible(self) -> Message:
        """A request with something in every field, as far as not only one of them may be set."""
        message = self.request()
        _fill(message, 0)
        return message

    def oversized(self, size: int) -> Iterator[tuple[str, Message]]:
        """For each text, bytes or list of it: the field, and a plausible request with so much in it."""
        for index, (path, _) in enumerate(_rooms(self.plausible())):
            message = self.plausible()
            _, overfill = list(_rooms(message))[index]
            overfill(size)
            yield path, message


def unary_rpcs() -> Iterator[Rpc]:
    """Those of the API that take one request and give one response."""
    for path in sorted(_STUBS.glob("*_service_pb2.py")):
        module = importlib.import_module(f"stakehold.v1.{path.stem}")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if not method.client_streaming and not method.server_streaming:
                    yield _rpc(method)


def _rpc(method: MethodDescriptor) -> Rpc:
    request = message_factory.GetMessageClass(method.input_type)
    return Rpc(f"/{method.containing_service.full_name}/{method.name}", request)


def _fill(message: Any, depth: int) -> None:
    chosen: set[str] = set()
    for field in message.DESCRIPTOR.fields:
        choice = field.containing_oneof
        if choice is not None and len(choice.fields) > 1:
            if choice.name in chosen:
                continue
            chosen.add(choice.name)
        if _is_map(field):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            _fill_message(message, field, depth)
        elif field.is_repeated:
            continue
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, _TEXTS.get(field.name, "EUR" if "currency" in field.name else "a"))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, field.name, b"a")
        elif field.type == FieldDescriptor.TYPE_ENUM:
            setattr(message, field.name, 1)


def _fill_message(message: Any, field: FieldDescriptor, depth: int) -> None:
    kind = field.message_type
    if depth == _DEEPEST or kind is None or kind.full_name.startswith("google."):
        return
    if field.is_repeated:
        _fill(getattr(message, field.name).add(), depth + 1)
    else:
        part = getattr(message, field.name)
        part.SetInParent()
        _fill(part, depth + 1)


def _rooms(message: Any, prefix: str = "") -> Iterator[tuple[str, Callable[[int], None]]]:
    """What can be too long, and what makes it so."""
    for field in message.DESCRIPTOR.fields:
        path = f"{prefix}{field.name}"
        value = getattr(message, field.name)
        if _is_map(field):
            yield path, partial(_name_long, value)
            yield path, partial(_name_many, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if not field.is_repeated:
                if message.HasField(field.name):
                    yield from _rooms(value, f"{path}.")
            elif len(value):
                yield path, partial(_repeat, value)
                yield from _rooms(value[0], f"{path}[0].")
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            much: str | bytes = "x" if field.type == FieldDescriptor.TYPE_STRING else b"x"
            if field.is_repeated:
                yield path, partial(_append_long, value, much)
                yield path, partial(_append_many, value, much)
            elif field.containing_oneof is None or message.HasField(field.name):
                yield path, partial(_set_long, message, field.name, much)


def _name_long(names: Any, size: int) -> None:
    names["k" * size] = "v"


def _name_many(names: Any, size: int) -> None:
    names.update({f"k{number}": "v" for number in range(size // 10)})


def _append_long(elements: Any, much: Any, size: int) -> None:
    elements.append(much * size)


def _append_many(elements: Any, much: Any, size: int) -> None:
    elements.extend([much * 3] * (size // 5))


def _set_long(message: Any, name: str, much: Any, size: int) -> None:
    setattr(message, name, much * size)


def _repeat(elements: Any, size: int) -> None:
    first = elements[0]
    elements.extend([first] * (size // (first.ByteSize() + 3)))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
