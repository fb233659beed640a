"""Tokens that callers bear: JSON Web Tokens, signed by an issuer that the callers file names.

Nothing that goes wrong here says what was in the token: what is refused may be good elsewhere.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from persistence.errors import Unauthenticated
from service.callers.issuer_keys import IssuerKeys

MAX_TOKEN_CHARACTERS = 8192
_LONGEST_KEY_ID = 256
_SCHEME = "bearer "
_JWT = jwt.PyJWT()
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Good from ``not_before_s`` until ``expires_s``, leeway included, while the keys' ``revision`` holds."""

    issuer: str
    subject: str
    not_before_s: float
    expires_s: float
    keys: IssuerKeys
    revision: int

    def require_valid(self, now_s: float) -> None:
        """Raises Unauthenticated."""
        if now_s >= self.expires_s:
            raise Unauthenticated("the token has expired", cause="token_expired")
        if now_s < self.not_before_s:
            raise Unauthenticated("the token is not valid yet", cause="token_not_yet_valid")


def bearer_token(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """What the call's `authorization` says; None where there is none. Raises Unauthenticated."""
    found = None
    for key, value in metadata or ():
        if key != "authorization":
            continue
        if found is not None:
            raise _malformed("two authorizations")
        if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
            raise _malformed("an authorization that is not Bearer")
        found = value[len(_SCHEME) :].strip()
        if len(found) > MAX_TOKEN_CHARACTERS:
            raise Unauthenticated(
                f"a token of more than {MAX_TOKEN_CHARACTERS} characters", cause="token_too_large"
            )
    return found


def verify_token(token: str, issuers: Mapping[str, IssuerKeys], now_s: float) -> VerifiedToken:
    """Checks everything. Raises Unauthenticated, and KeyUnknown where asking again may help."""
    header, claims = _unverified(token)
    named = claims.get("iss")
    keys = issuers.get(named) if isinstance(named, str) else None
    if keys is None:
        raise Unauthenticated("the token is of an issuer that is not known", cause="token_issuer_unknown")
    key = _key_of(header, keys)
    verified = _verified_claims(token, key, keys)
    return _read_claims(verified, keys, now_s)


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Only to find the key with. Nothing of it is believed."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise _malformed("no signed token")
    return _read_part(parts[0]), _read_part(parts[1])


def _read_part(part: str) -> Mapping[str, Any]:
    try:
        text = base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
        read = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        raise _malformed("no token that can be read") from None
    if not isinstance(read, dict):
        raise _malformed("no token that can be read")
    return read


def _key_of(header: Mapping[str, Any], keys: IssuerKeys) -> jwt.PyJWK:
    """Whatever else the header says of keys (jwk, jku, x5u …) is not looked at."""
    issuer = keys.issuer
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "jwt")
    if algorithm not in issuer.algorithms:
        raise Unauthenticated("the token's algorithm is not allowed", cause="token_signature")
    if "crit" in header or "b64" in header:
        raise _malformed("extensions that are not known")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in issuer.token_types:
        raise Unauthenticated("a token of a type that is not allowed", cause="token_claims")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _LONGEST_KEY_ID:
        raise _malformed("no id of the key that it is signed with")
    return keys.key(key_id, str(algorithm))


def _verified_claims(token: str, key: jwt.PyJWK, keys: IssuerKeys) -> Mapping[str, Any]:
    issuer = keys.issuer
    try:
        claims: Mapping[str, Any] = _JWT.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_s,
            options={"require": _REQUIRED},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("the token has expired", cause="token_expired") from None
    except jwt.ImmatureSignatureError:
        raise Unauthenticated("the token is not valid yet", cause="token_not_yet_valid") from None
    except jwt.InvalidSignatureError:
        raise Unauthenticated("the token's signature is wrong", cause="token_signature") from None
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        raise Unauthenticated("the token is for somebody else", cause="token_claims") from None
    except jwt.PyJWTError:
        raise Unauthenticated("the token's claims are wrong, or not complete", cause="token_claims") from None
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _malformed("no token that can be read") from None
    return claims


def _read_claims(claims: Mapping[str, Any], keys: IssuerKeys, now_s: float) -> VerifiedToken:
    issuer = keys.issuer
    issued_s, expires_s = _moment(claims["iat"]), _moment(claims["exp"])
    not_before_s = max(issued_s, _moment(claims.get("nbf", issued_s)))
    subject = claims["sub"]
    if expires_s - issued_s > issuer.longest_life_s:
        raise Unauthenticated("the token lives longer than tokens may", cause="token_claims")
    if not isinstance(subject, str) or not subject:
        raise Unauthenticated("the token names nobody", cause="token_claims")
    verified = VerifiedToken(
        issuer.issuer,
        subject,
        not_before_s - issuer.leeway_s,
        expires_s + issuer.leeway_s,
        keys,
        keys.revision,
    )
    verified.require_valid(now_s)
    return verified


def _moment(claim: object) -> float:
    is_number = isinstance(claim, int | float) and not isinstance(claim, bool)
    if not is_number or not math.isfinite(float(str(claim))):
        raise Unauthenticated("a time in the token is none", cause="token_claims")
    return float(str(claim))


def _malformed(what: str) -> Unauthenticated:
    return Unauthenticated(f"the authorization cannot be used: {what}", cause="token_malformed")
