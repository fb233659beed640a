"""Somebody who vouches for tokens, with a real server for the keys, on good days and bad ones."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.embedded.ports import LOOPBACK

AUDIENCE = "stakehold"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(slots=True)
class SigningKey:
    key_id: str
    algorithm: str
    private: PrivateKey

    def public_jwk(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        shown: dict[str, Any] = json.loads(algorithm.to_jwk(self.private.public_key()))
        shown.pop("key_ops", None)
        return {**shown, "kid": self.key_id, "use": "sig", "alg": self.algorithm}

    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def new_key(key_id: str, algorithm: str = "ES256") -> SigningKey:
    private: PrivateKey
    match algorithm:
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        case _:
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return SigningKey(key_id, algorithm, private)


@dataclass(slots=True)
class TokenServer:
    """``keys`` are what is served; ``status`` other than 200 is an outage, and so is ``stalls``."""

    url: str
    issuer: str = "https://login.example"
    keys: list[SigningKey] = field(default_factory=list)
    status: int = 200
    stalls: bool = False
    body: bytes | None = None
    asked_count: int = 0

    def token(
        self,
        subject: str = "ada",
        *,
        key: SigningKey | None = None,
        lasts_s: float = 600.0,
        headers: Mapping[str, Any] | None = None,
        leave_out: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """Signed with the newest key, unless with another one."""
        key = key or self.keys[-1]
        now = time.time()
        said = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": int(now),
            "exp": int(now + lasts_s),
            **claims,
        }
        for name in leave_out:
            del said[name]
        return jwt.encode(said, key.private, key.algorithm, headers={"kid": key.key_id, **(headers or {})})


@asynccontextmanager
async def token_server() -> AsyncIterator[TokenServer]:
    """With one key."""
    served = TokenServer("")

    async def answer(_: web.Request) -> web.Response:
        served.asked_count += 1
        if served.stalls:
            await asyncio.sleep(3600)
        body = json.dumps({"keys": [key.public_jwk() for key in served.keys]}).encode()
        return web.Response(status=served.status, body=served.body or body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/keys", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        served.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}/keys"
        served.keys.append(new_key("first"))
        yield served
    finally:
        await runner.cleanup()


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
