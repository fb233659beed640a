"""One odd key in a set takes nothing away from the good ones beside it."""

import json
from typing import Any

import pytest

from service.callers.callers_file import TokenIssuer
from service.callers.issuer_keys import KeysUnavailable, read_keys
from tests.token_issuer import SigningKey, new_key

ISSUER = TokenIssuer(issuer="https://login.example", audience="stakehold", jwks_file="/keys.json")
GOOD = new_key("good")
WRONG: list[Any] = [
    None,
    7,
    1.5,
    True,
    "",
    "verify",
    [],
    ["sign"],
    [None],
    {},
    {"a": 1},
    "\ud800",
    "é",
    "A" * 1000,
]
"""What may stand where something else has to. ``"verify"`` is no list of it."""
ODD = dict.fromkeys(("key_ops", "kty", "crv", "x", "y"), WRONG) | {
    "kid": [wrong for wrong in WRONG if not isinstance(wrong, str) or wrong in ("", "\ud800")],
    "use": WRONG,
    "alg": [*WRONG, ["ES256"]],
}


def set_of(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize("field", ODD)
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_key_with_a_field_of_another_type_is_left_out_and_the_good_one_is_read(
    field: str, algorithm: str
) -> None:
    odd = new_key("odd", algorithm).public_jwk()
    for wrong in ODD[field]:
        if field == "y" and algorithm == "EdDSA":
            continue  # it has none
        keys = read_keys(set_of({**odd, field: wrong}, GOOD.public_jwk()), ISSUER)

        assert set(keys) == {"good"}, wrong


@pytest.mark.parametrize("field", ["n", "e"])
def test_an_rsa_key_with_a_number_of_another_type_is_left_out(field: str) -> None:
    odd = new_key("odd", "RS256").public_jwk()
    for wrong in (wrong for wrong in WRONG if wrong not in ("verify", "A" * 1000)):
        assert set(read_keys(set_of({**odd, field: wrong}, GOOD.public_jwk()), ISSUER)) == {"good"}, wrong


@pytest.mark.parametrize("changes", [{}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}])
def test_a_key_to_verify_with_is_read(changes: dict[str, Any]) -> None:
    key: SigningKey = new_key("one")

    assert set(read_keys(set_of({**key.public_jwk(), **changes}), ISSUER)["one"]) == {"ES256"}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": {}}', b'{"keys": [null]}', b'{"keys": ["x"]}'])
def test_what_is_no_set_of_keys_is_refused(body: bytes) -> None:
    with pytest.raises(KeysUnavailable):
        read_keys(body, ISSUER)
