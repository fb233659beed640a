"""Reads what bulk calls send, each command by itself: one that cannot be read spoils nothing but itself."""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from persistence.errors import FieldInvalid
from stakehold.v1 import bulk_service_pb2 as pb
from stakehold.v1 import command_pb2

MAX_COMMANDS = 1_000
MAX_STEPS_IN_ALL = 4_000
"""So that the answer is one that clients take, which is 4 MiB unless they are told otherwise."""

UNREADABLE = "must be a message: this one cannot be read"

Commands = list[command_pb2.Command | None]
"""None: it could not be read."""

_LENGTH_DELIMITED = 2
_COMMANDS_KEY = pb.BatchRequest.COMMANDS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED


def read_batch(raw: bytes) -> Commands:
    """The commands of a BatchRequest. Raises DecodeError where not even these can be told apart."""
    try:
        return list(pb.BatchRequest.FromString(raw).commands)
    except DecodeError:
        return [_read_command(command) for command in _split(raw)]


def read_stream_request(raw: bytes) -> pb.StreamRequest | None:
    """None: it could not be read."""
    try:
        return pb.StreamRequest.FromString(raw)
    except DecodeError:
        return None


def require_size(commands: Commands) -> None:
    """Raises FieldInvalid for a batch that is empty or too large."""
    if not 1 <= len(commands) <= MAX_COMMANDS:
        raise FieldInvalid("commands", f"must be 1 to {MAX_COMMANDS} commands")
    steps = sum(max(1, len(command.transact.steps)) for command in commands if command is not None)
    if steps > MAX_STEPS_IN_ALL:
        raise FieldInvalid("commands", f"must have at most {MAX_STEPS_IN_ALL} steps in all")


def _read_command(raw: bytes) -> command_pb2.Command | None:
    try:
        return command_pb2.Command.FromString(raw)
    except DecodeError:
        return None


def _split(raw: bytes) -> Iterator[bytes]:
    """The commands' own bytes. A BatchRequest has nothing else."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        length, at = _varint(raw, at)
        if key != _COMMANDS_KEY or at + length > len(raw):
            raise DecodeError("this is no BatchRequest")
        yield raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    number = shift = 0
    while at < len(raw) and shift < 64:
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise DecodeError("this is no number")
