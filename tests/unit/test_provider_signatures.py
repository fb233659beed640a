"""Signatures over bytes: every algorithm, keys that follow each other, and what is none."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from service.providers.signatures import (
    Algorithm,
    Encoding,
    Key,
    KeyUnusable,
    Scheme,
    SignatureBad,
    SignatureFault,
    Signed,
    hmac_check,
    public_key_check,
)
from tests.providers_house import ed25519_key, public_pem, rsa_key

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
SECRET = b"0123456789abcdef"
BODY = b'{"amount": 1000000}'


def rsa_pkcs(message: bytes) -> bytes:
    return rsa_key().sign(message, padding.PKCS1v15(), hashes.SHA256())


def rsa_pss(message: bytes) -> bytes:
    return rsa_key().sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def hmac_of(message: bytes, secret: bytes = SECRET) -> bytes:
    return hmac.digest(secret, message, hashlib.sha256)


RSA = public_pem(rsa_key()).encode()
ED25519 = public_pem(ed25519_key()).encode()
ALGORITHMS = [
    pytest.param(hmac_check(SECRET), hmac_of, id="hmac-sha256"),
    pytest.param(public_key_check(Algorithm.RSA_SHA256, RSA), rsa_pkcs, id="rsa-sha256"),
    pytest.param(public_key_check(Algorithm.RSA_PSS_SHA256, RSA), rsa_pss, id="rsa-pss-sha256"),
    pytest.param(public_key_check(Algorithm.ED25519, ED25519), ed25519_key().sign, id="ed25519"),
]

Check = Callable[[bytes, bytes], bool]
Sign = Callable[[bytes], bytes]


def scheme(*keys: Key, signed: Signed = Signed.BODY, encoding: Encoding = Encoding.BASE64) -> Scheme:
    header = "" if signed is Signed.BODY else "x-timestamp"
    return Scheme("x-signature", encoding, signed, header, 1, 300.0, keys)


def key(check: Check, key_id: str = "k", start: datetime | None = None, end: datetime | None = None) -> Key:
    return Key(key_id, start, end, check)


def fault(one: Scheme, headers: dict[str, list[str]], body: bytes = BODY) -> SignatureFault:
    with pytest.raises(SignatureBad) as bad:
        one.verify(headers, "/bet", body, now=NOW)
    return bad.value.fault


def shown(signature: bytes) -> dict[str, list[str]]:
    return {"x-signature": [base64.b64encode(signature).decode()]}


@pytest.mark.parametrize(("check", "sign"), ALGORITHMS)
def test_what_the_key_has_signed_is_its_word(check: Check, sign: Sign) -> None:
    assert scheme(key(check)).verify(shown(sign(BODY)), "/bet", BODY, now=NOW) == "k"


@pytest.mark.parametrize(("check", "sign"), ALGORITHMS)
def test_one_bit_less_is_nobodys(check: Check, sign: Sign) -> None:
    signature = sign(BODY)
    one = scheme(key(check))

    for at in range(len(BODY)):
        tampered = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
        assert fault(one, shown(signature), tampered) is SignatureFault.MISMATCH
    for at in range(0, len(signature), 16):
        broken = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        assert fault(one, shown(broken)) is SignatureFault.MISMATCH
    assert fault(one, shown(signature[:-1])) is SignatureFault.MISMATCH
    assert fault(one, shown(b"")) is SignatureFault.MISMATCH
    assert fault(one, shown(signature), BODY + b"\n") is SignatureFault.MISMATCH


def test_one_algorithm_s_key_or_signature_is_none_of_anothers() -> None:
    assert fault(scheme(key(public_key_check(Algorithm.RSA_SHA256, RSA))), shown(rsa_pss(BODY)))
    assert fault(scheme(key(public_key_check(Algorithm.RSA_PSS_SHA256, RSA))), shown(rsa_pkcs(BODY)))
    # A public key is no secret: who signs with it as one must not get through.
    assert fault(scheme(key(public_key_check(Algorithm.RSA_SHA256, RSA))), shown(hmac_of(BODY, RSA)))
    for algorithm, pem in (
        (Algorithm.ED25519, RSA),
        (Algorithm.RSA_SHA256, ED25519),
        (Algorithm.ED25519, b"x"),
    ):
        with pytest.raises(KeyUnusable):
            public_key_check(algorithm, pem)
    with pytest.raises(KeyUnusable):
        hmac_check(b"short")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], SignatureFault.MISSING),
        (["a", "a"], SignatureFault.MALFORMED),
        (["ä"], SignatureFault.MALFORMED),
        (["not base64!"], SignatureFault.MALFORMED),
        (["A" * 4096], SignatureFault.MALFORMED),
        ([" " + base64.b64encode(hmac_of(BODY)).decode()], SignatureFault.MALFORMED),
    ],
)
def test_what_is_no_signature_is_not_looked_into(values: list[str], expected: SignatureFault) -> None:
    assert fault(scheme(key(hmac_check(SECRET))), {"x-signature": values}) is expected


def test_hexadecimal_is_read_as_strictly() -> None:
    one = scheme(key(hmac_check(SECRET)), encoding=Encoding.HEX)

    assert one.verify({"x-signature": [hmac_of(BODY).hex()]}, "/bet", BODY, now=NOW) == "k"
    assert one.verify({"x-signature": [hmac_of(BODY).hex().upper()]}, "/bet", BODY, now=NOW) == "k"
    for text in (hmac_of(BODY).hex()[:-1], hmac_of(BODY).hex(" "), "zz", ""):
        assert fault(one, {"x-signature": [text]}) is SignatureFault.MALFORMED


def test_a_key_follows_another_without_a_gap() -> None:
    day = timedelta(days=1)
    old = key(hmac_check(SECRET), "old", end=NOW + day)
    new = key(hmac_check(b"another secret, longer"), "new", start=NOW - day)
    one = scheme(old, new)
    by_old, by_new = shown(hmac_of(BODY)), shown(hmac_of(BODY, b"another secret, longer"))

    def signer(headers: dict[str, list[str]], at: datetime) -> str:
        try:
            return one.verify(headers, "/bet", BODY, now=at)
        except SignatureBad as bad:
            return bad.fault.value

    before, both, after = NOW - 2 * day, NOW, NOW + day
    assert [signer(by_old, at) for at in (before, both, after)] == ["old", "old", "mismatch"]
    assert [signer(by_new, at) for at in (before, both, after)] == ["mismatch", "new", "new"]
    assert fault(replace(one, keys=(key(hmac_check(SECRET), end=NOW),)), by_old) is SignatureFault.NO_KEY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (str(int(NOW.timestamp())), None),
        (str(int(NOW.timestamp()) - 300), None),
        (str(int(NOW.timestamp()) + 300), None),
        (str(int(NOW.timestamp()) - 301), SignatureFault.STALE),
        (str(int(NOW.timestamp()) + 301), SignatureFault.STALE),
        ("-1", SignatureFault.MALFORMED),
        ("1e9", SignatureFault.MALFORMED),
        ("٥", SignatureFault.MALFORMED),
        ("9" * 17, SignatureFault.MALFORMED),
    ],
)
def test_a_timestamp_is_signed_and_fresh(text: str, expected: SignatureFault | None) -> None:
    one = scheme(key(hmac_check(SECRET)), signed=Signed.TIMESTAMP_AND_BODY)
    signature = shown(hmac_of(text.encode() + b"." + BODY))
    headers = {**signature, "x-timestamp": [text]}

    if expected is None:
        assert one.verify(headers, "/bet", BODY, now=NOW) == "k"
        # Another timestamp beside the same signature, or none.
        assert fault(one, {**headers, "x-timestamp": [str(int(text) + 1)]}) in {
            SignatureFault.MISMATCH,
            SignatureFault.STALE,
        }
        assert fault(one, signature) is SignatureFault.MISSING
    else:
        assert fault(one, headers) is expected


def test_nothing_of_a_key_is_shown() -> None:
    one = scheme(key(hmac_check(SECRET)))

    assert SECRET.decode() not in repr(one)
    assert "check" not in repr(one)


def test_a_path_that_is_signed_is_no_other() -> None:
    one = scheme(key(hmac_check(SECRET)), signed=Signed.TIMESTAMP_PATH_AND_BODY)
    stamp = str(int(NOW.timestamp()))
    headers = {**shown(hmac_of(f"{stamp}./bet.".encode() + BODY)), "x-timestamp": [stamp]}

    assert one.verify(headers, "/bet", BODY, now=NOW) == "k"
    for path in ("/win", "/bet/", "/bet.", ""):
        with pytest.raises(SignatureBad) as bad:
            one.verify(headers, path, BODY, now=NOW)
        assert bad.value.fault is SignatureFault.MISMATCH
