"""Between ProviderService's messages and callbacks and sessions."""

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from persistence.errors import FieldInvalid
from persistence.postgres.sessions import NewSession, Session
from service.conversions.fields import read_optional_id, read_player_id, unix_ms_of
from service.providers.adapter import Answer, Request
from service.providers.callbacks import Delivery
from service.registry import Registry
from stakehold.v1 import provider_service_pb2 as pb

MAX_HEADERS = 128
MAX_HEADER_CHARACTERS = 8192
LONGEST_SESSION = timedelta(days=30)
_DEFAULT_SESSION = timedelta(hours=24)
_PROVIDER_ID = re.compile(r"[\x21-\x7e]{1,64}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_PATH = re.compile(r"/[\x21-\x7e]{0,511}")
_PEER = re.compile(r"[\x20-\x7e]{0,128}")
_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")


def read_delivery(request: pb.HandleCallbackRequest, *, now: datetime) -> Delivery:
    received_time = now
    if request.HasField("receive_time"):
        received_ms = unix_ms_of(request.receive_time, "receive_time")
        received_time = datetime.fromtimestamp(received_ms / 1000, UTC)
    return Delivery(
        provider_id=read_provider_id(request.provider_id),
        request=Request(
            _matching(_METHOD, request.method, "method", "must be a method in capitals"),
            _matching(_PATH, request.path, "path", 'must be "/" and at most 511 printable ASCII characters'),
            request.body,
        ),
        headers=_read_headers(request.headers),
        peer=_matching(_PEER, request.peer, "peer", "must be at most 128 printable ASCII characters"),
        received_time=received_time,
    )


def callback_response(answer: Answer) -> pb.HandleCallbackResponse:
    return pb.HandleCallbackResponse(
        status_code=answer.status_code,
        headers=[pb.HttpHeader(name=name, value=value) for name, value in answer.headers.items()],
        body=answer.body,
    )


def read_provider_id(text: str) -> str:
    return _matching(_PROVIDER_ID, text, "provider_id", "must be the id of a provider")


def read_token(text: str) -> str:
    return _matching(_TOKEN, text, "token", "must be 16 to 256 printable ASCII characters")


def new_token() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(32)


def read_new_session(request: pb.OpenSessionRequest, registry: Registry, *, now: datetime) -> NewSession:
    """Raises CurrencyUnknown beside FieldInvalid."""
    expire_time = now + _DEFAULT_SESSION
    if request.HasField("expire_time"):
        expire_ms = unix_ms_of(request.expire_time, "expire_time")
        expire_time = datetime.fromtimestamp(expire_ms / 1000, UTC)
        if not now < expire_time <= now + LONGEST_SESSION:
            raise FieldInvalid("expire_time", "must be ahead, and at most 30 days")
    code = request.currency_code
    if registry.denomination(code) is None:
        code = registry.currency(code, "currency_code").code
    return NewSession(
        request.provider_id,
        read_player_id(request.player_id),
        code,
        read_optional_id(request.game_id, "game_id"),
        expire_time,
    )


def session_message(session: Session) -> pb.Session:
    message = pb.Session(
        provider_id=session.provider_id,
        player_id=session.player_id,
        currency_code=session.currency,
        game_id=session.game,
        open_time=_timestamp(session.opened_time),
        expire_time=_timestamp(session.expire_time),
    )
    if session.closed_time is not None:
        message.close_time.CopyFrom(_timestamp(session.closed_time))
    return message


def _read_headers(headers: Iterable[pb.HttpHeader]) -> dict[str, list[str]]:
    read: dict[str, list[str]] = {}
    for count, header in enumerate(headers, 1):
        if count > MAX_HEADERS or len(header.name) + len(header.value) > MAX_HEADER_CHARACTERS:
            raise FieldInvalid(
                "headers", f"must be at most {MAX_HEADERS}, of {MAX_HEADER_CHARACTERS} characters"
            )
        read.setdefault(header.name.lower(), []).append(header.value)
    return read


def _matching(pattern: re.Pattern[str], text: str, field: str, rule: str) -> str:
    if not pattern.fullmatch(text):
        raise FieldInvalid(field, rule)
    return text


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
