"""Providers as they call: keys of their own, a providers file, callbacks as they sign them."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from stakehold.v1 import provider_service_pb2 as pb
from stakehold.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.answers import refused
from tests.wallet_api import WalletApi, awaited_api

if TYPE_CHECKING:
    from stakehold.v1.provider_service_pb2_grpc import ProviderServiceAsyncStub

TIMEOUT_S = 30.0
HUB88, ARCADE, SIGNED, UNPUT = "hub88", "arcade", "signed", "unput"
"""Hub88; a game of the house with a secret; one with an Ed25519 key; one whose source is never put."""
SECRET = b"a secret of the arcade's, long enough"
TOKEN = "token-of-a-session-1"
SIGNATURE_HEADER = "X-Hub88-Signature"


def rsa_key(name: str = "hub88") -> RSAPrivateKey:
    """The same for a name throughout the run."""
    return _new_rsa_key(name)


@cache
def _new_rsa_key(name: str) -> RSAPrivateKey:
    assert name
    return generate_private_key(65537, 2048)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def public_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()


def rsa_signature(body: bytes, key: RSAPrivateKey | None = None) -> str:
    return base64.b64encode((key or rsa_key()).sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def hmac_headers(path: str, body: bytes, *, at: int | None = None) -> dict[str, str]:
    stamp = str(int(time.time()) if at is None else at)
    digest = hmac.digest(SECRET, f"{stamp}.{path}.".encode() + body, hashlib.sha256)
    return {"X-Timestamp": stamp, "X-Signature": digest.hex()}


def file_content(**hub88: Any) -> dict[str, Any]:
    """Four providers. ``hub88`` changes the entry of the first one."""
    return {
        "providers": [
            {
                "id": HUB88,
                "adapter": "hub88",
                "source_id": HUB88,
                "signature": {
                    "algorithm": "rsa-sha256",
                    "header": SIGNATURE_HEADER,
                    "keys": [{"id": "first", "public_key": public_pem(rsa_key())}],
                },
                "options": {"country": "EE"},
                **hub88,
            },
            {
                "id": ARCADE,
                "adapter": "house-json",
                "source_id": ARCADE,
                "sessions": False,
                "signature": {
                    "algorithm": "hmac-sha256",
                    "header": "X-Signature",
                    "encoding": "hex",
                    "signed": "timestamp.path.body",
                    "timestamp_header": "X-Timestamp",
                    "keys": [{"id": "secret", "secret_file": "arcade.secret"}],
                },
            },
            {
                "id": SIGNED,
                "adapter": "house-json",
                "source_id": ARCADE,
                "sessions": False,
                "signature": {
                    "algorithm": "ed25519",
                    "header": "X-Signature",
                    "keys": [{"id": "ed", "public_key": public_pem(ed25519_key())}],
                },
            },
            {
                "id": UNPUT,
                "adapter": "house-json",
                "source_id": UNPUT,
                "sessions": False,
                "signature": {
                    "algorithm": "hmac-sha256",
                    "header": "X-Signature",
                    "encoding": "hex",
                    "signed": "timestamp.path.body",
                    "timestamp_header": "X-Timestamp",
                    "keys": [{"id": "secret", "secret_file": "arcade.secret"}],
                },
            },
        ]
    }


def write_file(folder: Path, content: Mapping[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arcade.secret").write_bytes(SECRET + b"\n")
    path = folder / "providers.yaml"
    path.write_text(yaml.safe_dump(dict(content or file_content())))
    return path


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider is answered."""

    status_code: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def status(self) -> str:
        """The protocol's own word."""
        return str(self.said["status"])


@dataclass(frozen=True, slots=True)
class ProviderApi:
    """ProviderService beside the wallets."""

    providers: "ProviderServiceAsyncStub"
    wallets: WalletApi

    async def hand_over(
        self, provider_id: str, path: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST"
    ) -> Reply:
        request = pb.HandleCallbackRequest(
            provider_id=provider_id,
            method=method,
            path=path,
            body=body,
            headers=[pb.HttpHeader(name=name, value=value) for name, value in headers.items()],
            peer="192.0.2.1",
        )
        try:
            response = await self.providers.HandleCallback(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None
        told = {header.name: header.value for header in response.headers}
        return Reply(response.status_code, response.body, told)

    async def hub88(self, path: str, fields: Mapping[str, Any], *, key: RSAPrivateKey | None = None) -> Reply:
        body = json.dumps(dict(fields)).encode()
        return await self.hand_over(HUB88, path, body, {SIGNATURE_HEADER: rsa_signature(body, key)})

    async def arcade(self, path: str, **fields: Any) -> Reply:
        body = json.dumps(fields).encode()
        return await self.hand_over(ARCADE, path, body, hmac_headers(path, body))

    async def signed(self, path: str, **fields: Any) -> Reply:
        body = json.dumps(fields).encode()
        signature = base64.b64encode(ed25519_key().sign(body)).decode()
        return await self.hand_over(SIGNED, path, body, {"X-Signature": signature})

    async def open_session(self, player_id: str, currency: str = "EUR", **fields: Any) -> str:
        """Its token."""
        request = pb.OpenSessionRequest(
            provider_id=HUB88, player_id=player_id, currency_code=currency, **fields
        )
        try:
            return (await self.providers.OpenSession(request, timeout=TIMEOUT_S)).token
        except grpc.RpcError as error:
            raise refused(error) from None

    async def cash(self, player_id: str, currency: str = "EUR") -> str:
        balances = await self.wallets.balances(player_id)
        return next(balance.cash for balance in balances if balance.currency == currency)


@asynccontextmanager
async def provider_api(address: str) -> AsyncIterator[ProviderApi]:
    async with grpc.aio.insecure_channel(
        address, options=(("grpc.use_local_subchannel_pool", 1),)
    ) as channel:
        yield ProviderApi(ProviderServiceStub(channel), awaited_api(channel))


def hub88_bet(player_id: str, token: str, transaction_id: str = "", **changes: Any) -> dict[str, Any]:
    """A bet of 10.00, as Hub88 sends it."""
    fields = {
        "user": player_id,
        "token": token,
        "transaction_uuid": transaction_id or str(uuid.uuid4()),
        "supplier_transaction_id": "supplier-1",
        "supplier_user": None,
        "request_uuid": str(uuid.uuid4()),
        "reward_uuid": None,
        "round": "round-1",
        "round_closed": False,
        "is_free": False,
        "is_aggregated": False,
        "game_code": "clt_dragonrising",
        "currency": "EUR",
        "bet": None,
        "amount": 1_000_000,
        "meta": None,
    }
    return {**fields, **changes}


def hub88_win(player_id: str, bet_id: str, transaction_id: str = "", **changes: Any) -> dict[str, Any]:
    """A win of 25.00 of that bet."""
    win = hub88_bet(player_id, "any", transaction_id, amount=2_500_000, reference_transaction_uuid=bet_id)
    return {**win, **changes}


def hub88_rollback(player_id: str, original: str, transaction_id: str = "", **changes: Any) -> dict[str, Any]:
    fields = {
        "user": player_id,
        "token": "any",
        "transaction_uuid": transaction_id or str(uuid.uuid4()),
        "supplier_transaction_id": "supplier-2",
        "request_uuid": str(uuid.uuid4()),
        "reference_transaction_uuid": original,
        "round": "round-1",
        "round_closed": True,
        "game_code": "clt_dragonrising",
        "meta": None,
    }
    return {**fields, **changes}
