"""Columns, and how a value of a message is written in one.

Amounts are the API's exact texts, times are UTC as in 2026-01-31T23:59:59.123Z, enums their names without the
prefix that all names of the enum have, what is absent is empty.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Column:
    """``path`` leads to a field, as in "amount.currency_code", or reads the text out of the message."""

    name: str
    path: str | Callable[[Any], str] = ""
    is_number: bool = False
    in_table: bool = True
    """False: only in CSV, for a table must fit on a screen."""

    def text(self, message: Message) -> str:
        if callable(self.path):
            return self.path(message)
        return text_at(message, self.path or self.name)


def text_at(message: Message, path: str) -> str:
    """The field's value as a text; empty where it, or a message on the way to it, is absent."""
    *parents, last = path.split(".")
    for name in parents:
        if not message.HasField(name):
            return ""
        message = getattr(message, name)
    field: Any = message.DESCRIPTOR.fields_by_name[last]
    if not field.is_repeated and field.has_presence and not message.HasField(last):
        return ""
    if field.enum_type is not None and not field.is_repeated:
        return short_name(field.enum_type, getattr(message, last))
    return _written(getattr(message, last), is_many=field.is_repeated)


def short_name(enum: EnumDescriptor, number: int) -> str:
    """BET for TRANSACTION_KIND_BET; empty for UNSPECIFIED; the number for a name that this release lacks."""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    name = value.name.removeprefix(_prefix(enum))
    return "" if name == "UNSPECIFIED" else name


def short_names(enum: EnumDescriptor) -> list[str]:
    """All but the one that says nothing."""
    return [name for number in enum.values_by_number if (name := short_name(enum, number))]


def number_of(enum: EnumDescriptor, name: str) -> int:
    """The number of a short name."""
    return int(enum.values_by_name[_prefix(enum) + name].number)


def as_json(message: Message) -> dict[str, Any]:
    """All fields under their names in the protos; only absent messages are left out."""
    document: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def _prefix(enum: EnumDescriptor) -> str:
    return _WORD_BEGINS.sub("_", enum.name).upper() + "_"


def _written(value: Any, *, is_many: bool) -> str:
    match value:
        case _ if is_many:
            return _written_many(value)
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.hex()
        case Timestamp() | Duration():
            return value.ToJsonString()
        case Message():
            return json.dumps(as_json(value))
        case _:
            return str(value)


def _written_many(values: Any) -> str:
    if not values:
        return ""
    if isinstance(values, Mapping):
        return json.dumps(dict(sorted(values.items())))
    return json.dumps([as_json(value) if isinstance(value, Message) else value for value in values])
