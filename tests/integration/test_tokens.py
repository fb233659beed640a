"""Tokens: who is known by one, what is refused, and keys of issuers that change, vanish or cannot be had."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
import structlog.testing

from service.callers.tokens import MAX_TOKEN_CHARACTERS
from tests.authorities import Issued
from tests.entrance import Entrance, NotLetIn, Premises, entrance, issuer_entry, premises, who
from tests.token_issuer import AUDIENCE, SigningKey, TokenServer, new_key, token_server, unsigned
from tests.waiting import until

ISSUER = "https://login.example"
ADA = {"name": "ada", "roles": ["operator"], "tokens": [{"issuer": ISSUER, "subject": "ada"}]}
MACHINE_ID, GATEWAY_ID = "spiffe://casino.example/machine", "spiffe://casino.example/gateway"
MACHINE = {"name": "machine", "roles": ["game"], "spiffe_ids": [MACHINE_ID]}
GATEWAY = {"name": "gateway", "spiffe_ids": [GATEWAY_ID], "carries_tokens": True}
SLOTS_ID = "spiffe://casino.example/slots"
SLOTS = {
    "name": "slots",
    "roles": ["game"],
    "spiffe_ids": [SLOTS_ID],
    "tokens": [{"issuer": ISSUER, "subject": "slots"}],
}
CALLERS = (ADA, MACHINE, GATEWAY, SLOTS)


@pytest.fixture
def house(tmp_path: Path) -> Premises:
    return premises(tmp_path)


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[TokenServer]:
    async with token_server() as server:
        yield server


@pytest_asyncio.fixture
async def door(house: Premises, issuer: TokenServer) -> AsyncIterator[Entrance]:
    """Of a server that asks for no client certificates."""
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
    async with entrance(house, tls_client_certificates="optional") as opened:
        yield opened


async def cause(door: Entrance, token: str | None, client: Issued | None = None) -> str:
    """Why the bearer is not let in; empty where he is."""
    try:
        await door.lets_in(client, token=token)
    except NotLetIn as refused:
        return refused.cause or refused.code
    return ""


async def test_a_caller_is_known_by_its_token(door: Entrance, issuer: TokenServer) -> None:
    assert await door.lets_in(token=issuer.token()) == "ada by token"
    assert await door.lets_in(token=issuer.token("slots")) == "slots by token"
    assert await cause(door, None) == "no_credentials"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_each_kind_of_key_is_understood(door: Entrance, issuer: TokenServer, algorithm: str) -> None:
    issuer.keys = [new_key("another", algorithm)]

    assert await door.lets_in(token=issuer.token()) == "ada by token"


Making = Callable[[TokenServer], str]


def in_the_hand_of_a_forger(issuer: TokenServer, **changes: Any) -> str:
    """Signed with a key of the forger's own, under the issuer's key id."""
    forged = new_key(issuer.keys[0].key_id)
    return issuer.token(key=forged, **changes)


def claims_of(issuer: TokenServer) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer.issuer, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 60}


def signed_with_the_public_key(issuer: TokenServer) -> str:
    """HS256 under what everybody may know, for whoever lets the token choose how it is checked."""
    header = {"alg": "HS256", "kid": issuer.keys[0].key_id, "typ": "JWT"}
    body = unsigned(header, claims_of(issuer)).rpartition(".")[0]
    signature = hmac.new(issuer.keys[0].public_pem(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{unsigned({}, {}, signature).rpartition('.')[2]}"


def with_its_own_key_in_the_header(issuer: TokenServer) -> str:
    forged = new_key("forged")
    return issuer.token(key=forged, headers={"kid": issuer.keys[0].key_id, "jwk": forged.public_jwk()})


def tampered(issuer: TokenServer) -> str:
    header, _, signature = issuer.token("slots").split(".")
    claims = unsigned({}, claims_of(issuer)).split(".")[1]
    return f"{header}.{claims}.{signature}"


HOUR_S = 3600
FORGERIES: dict[str, tuple[Making, str]] = {
    "expired": (lambda issuer: issuer.token(lasts_s=-HOUR_S), "token_expired"),
    "ended a leeway ago": (lambda issuer: issuer.token(lasts_s=-31), "token_expired"),
    "not yet valid": (lambda issuer: issuer.token(nbf=int(time.time()) + 300), "token_not_yet_valid"),
    "issued tomorrow": (lambda issuer: issuer.token(iat=int(time.time()) + HOUR_S), "token_not_yet_valid"),
    "another audience": (lambda issuer: issuer.token(aud="the shop"), "token_claims"),
    "no audience": (lambda issuer: issuer.token(leave_out=("aud",)), "token_claims"),
    "no end": (lambda issuer: issuer.token(leave_out=("exp",)), "token_claims"),
    "no beginning": (lambda issuer: issuer.token(leave_out=("iat",)), "token_claims"),
    "no subject": (lambda issuer: issuer.token(leave_out=("sub",)), "token_claims"),
    "ends as text": (lambda issuer: issuer.token(exp="9999999999"), "token_claims"),
    "an endless life": (lambda issuer: issuer.token(lasts_s=30 * 86400), "token_claims"),
    "another issuer": (lambda issuer: issuer.token(iss="https://evil.example"), "token_issuer_unknown"),
    "no issuer": (lambda issuer: issuer.token(leave_out=("iss",)), "token_issuer_unknown"),
    "somebody unknown": (lambda issuer: issuer.token("mallory"), "token_subject_unknown"),
    "nobody": (lambda issuer: issuer.token(""), "token_claims"),
    "another key": (in_the_hand_of_a_forger, "token_signature"),
    "the public key as a secret": (signed_with_the_public_key, "token_signature"),
    "not signed": (
        lambda issuer: unsigned({"alg": "none", "kid": "first"}, claims_of(issuer)) + "AA",
        "token_signature",
    ),
    "no signature": (lambda issuer: issuer.token().rpartition(".")[0] + ".", "token_malformed"),
    "other claims": (tampered, "token_signature"),
    "a key of its own": (with_its_own_key_in_the_header, "token_signature"),
    "a key id that is a path": (
        lambda issuer: issuer.token(headers={"kid": "../../dev/null"}),
        "token_key_unknown",
    ),
    "a key id that is SQL": (lambda issuer: issuer.token(headers={"kid": "' OR 1=1"}), "token_key_unknown"),
    "a key id without end": (lambda issuer: issuer.token(headers={"kid": "x" * 300}), "token_malformed"),
    "extensions": (lambda issuer: issuer.token(headers={"crit": ["exp"], "exp": 0}), "token_malformed"),
    "another type": (lambda issuer: issuer.token(headers={"typ": "logout+jwt"}), "token_claims"),
    "too large": (lambda issuer: issuer.token(more="x" * MAX_TOKEN_CHARACTERS), "token_too_large"),
    "deep": (lambda issuer: f"{'W1tb' * 1500}.e30.AA", "token_malformed"),
    "text": (lambda issuer: "hunter2", "token_malformed"),
    "blanks": (lambda issuer: "", "token_malformed"),
}


@pytest.mark.parametrize(("forge", "why"), FORGERIES.values(), ids=FORGERIES.keys())
async def test_what_is_forged_or_not_for_us_is_refused(
    door: Entrance, issuer: TokenServer, forge: Making, why: str
) -> None:
    assert await cause(door, forge(issuer)) == why
    assert door.metrics.get_sample_value("stakehold_unauthenticated_calls_total", {"cause": why})


@pytest.mark.parametrize("authorizations", [("Basic YWRhOmFkYQ==",), ("Bearer x", "Bearer y")])
async def test_an_authorization_that_is_no_one_token_is_refused(
    door: Entrance, authorizations: tuple[str, ...]
) -> None:
    with pytest.raises(NotLetIn) as refused:
        await door.lets_in(authorizations=authorizations)

    assert refused.value.cause == "token_malformed"


async def test_two_tokens_are_nobodys_even_where_each_is_good(door: Entrance, issuer: TokenServer) -> None:
    tokens = (f"Bearer {issuer.token()}", f"Bearer {issuer.token('slots')}")

    with pytest.raises(NotLetIn) as refused:
        await door.lets_in(authorizations=tokens)

    assert refused.value.cause == "token_malformed"


async def test_a_token_within_its_leeway_is_good_and_the_same_one_ends(
    house: Premises, issuer: TokenServer
) -> None:
    house.write_callers(ADA, issuers=[issuer_entry(issuer, leeway_s=0)])
    async with (
        entrance(house, tls_client_certificates="optional") as door,
        door.connected() as channel,
    ):
        token = issuer.token(lasts_s=2)
        assert await who(channel, token=token) == "ada by token"

        async def has_ended() -> bool:
            try:
                await who(channel, token=token)
            except NotLetIn as refused:
                return refused.cause == "token_expired"
            return False

        await until(has_ended, what="the token has ended")


async def test_a_new_key_is_asked_for_when_its_first_token_comes_and_nobody_is_refused(
    door: Entrance, issuer: TokenServer
) -> None:
    old = issuer.token()
    assert await cause(door, old) == ""
    issuer.keys.append(new_key("second"))

    answers = await asyncio.gather(*(door.lets_in(token=issuer.token()) for _ in range(20)))

    assert set(answers) == {"ada by token"}
    assert issuer.asked_count == 2
    assert await cause(door, old) == ""


async def test_a_key_that_vanishes_works_no_longer_not_even_for_tokens_that_were_seen(
    house: Premises, issuer: TokenServer
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer, refresh_s=0.02)])
    async with entrance(house, tls_client_certificates="optional") as door:
        token = issuer.token()
        assert await cause(door, token) == ""
        issuer.keys = [new_key("second")]

        async def is_refused() -> bool:
            return await cause(door, token) == "token_key_unknown"

        await until(is_refused, what="the old key's token is refused")
        assert await cause(door, issuer.token()) == ""


@pytest.mark.parametrize(
    "outage",
    [
        {"status": 503},
        {"body": b"<html>"},
        {"body": b'{"keys": 7}'},
        {"body": b"x" * 300_000},
        {"stalls": True},
    ],
)
async def test_known_keys_stay_in_use_while_their_server_is_away(
    house: Premises, issuer: TokenServer, outage: dict[str, Any]
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer, refresh_s=0.02)])
    async with entrance(house, tls_client_certificates="optional") as door, door.connected() as channel:
        assert await who(channel, token=issuer.token()) == "ada by token"
        for name, value in outage.items():
            setattr(issuer, name, value)
        asked_before = issuer.asked_count

        async def is_asked() -> bool:
            return issuer.asked_count > asked_before

        await until(is_asked, what="the keys' server was asked in vain")
        assert await who(channel, token=issuer.token()) == "ada by token"
        issuer.stalls = False


async def test_keys_that_nobody_could_confirm_for_too_long_are_used_no_more(
    house: Premises, issuer: TokenServer
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer, refresh_s=0.02, keys_max_age_s=0.5)])
    async with entrance(house, tls_client_certificates="optional") as door:
        assert await cause(door, issuer.token()) == ""
        issuer.status = 503

        async def is_refused() -> bool:
            return await cause(door, issuer.token()) == "token_keys_unavailable"

        await until(is_refused, what="the keys are too old")
        issuer.status = 200

        async def is_let_in() -> bool:
            return await cause(door, issuer.token()) == ""

        await until(is_let_in, what="the keys are there again")


async def test_a_server_starts_without_its_issuers_and_lets_their_bearers_in_once_they_are_there(
    house: Premises, issuer: TokenServer
) -> None:
    issuer.status = 500
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
    async with entrance(house) as door:
        machine = house.client_authority.issue(uris=[GATEWAY_ID])
        assert await door.lets_in(machine) == "gateway by certificate"
        assert await cause(door, issuer.token(), machine) == "token_keys_unavailable"
        issuer.status = 200

        async def is_let_in() -> bool:
            return await cause(door, issuer.token(), machine) == ""

        await until(is_let_in, what="the keys are there")


async def test_a_flood_of_made_up_key_ids_asks_the_issuer_once_and_holds_up_nobody(
    house: Premises, issuer: TokenServer
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer, refetch_s=60)])
    async with entrance(house, tls_client_certificates="optional") as door, door.connected() as channel:
        assert await who(channel, token=issuer.token()) == "ada by token"
        issuer.stalls = True
        forged = [issuer.token(headers={"kid": f"made-up-{number}"}) for number in range(50)]

        async def refused(token: str) -> str:
            with pytest.raises(NotLetIn) as caught:
                await who(channel, token=token)
            return caught.value.cause

        flood = [asyncio.create_task(refused(token)) for token in forged]
        assert await who(channel, token=issuer.token()) == "ada by token"

        assert set(await asyncio.gather(*flood)) == {"token_key_unknown"}
        assert issuer.asked_count <= 2
        issuer.stalls = False


async def test_keys_may_be_in_a_file_and_change_there(house: Premises, issuer: TokenServer) -> None:
    file = house.folder / "keys.json"

    def write(*keys: SigningKey) -> None:
        file.write_text(json.dumps({"keys": [key.public_jwk() for key in keys]}))

    write(*issuer.keys)
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(file), "refetch_s": 0.01}
    house.write_callers(*CALLERS, issuers=[entry])
    async with entrance(house, tls_client_certificates="optional") as door:
        token = issuer.token()
        assert await cause(door, token) == ""
        issuer.keys.append(new_key("second"))
        write(issuer.keys[-1])

        async def is_let_in() -> bool:
            return not await cause(door, issuer.token())

        await until(
            is_let_in, what="the new key is read"
        )  # one that was being read may have been the old one
        assert await cause(door, token) == "token_key_unknown"


@pytest.mark.parametrize(
    ("spiffe_id", "subject", "says"),
    [
        (GATEWAY_ID, "ada", "ada by token"),
        (GATEWAY_ID, "slots", "slots by token"),
        (SLOTS_ID, "slots", "slots by token"),
        (MACHINE_ID, "ada", "token_not_allowed"),
        (SLOTS_ID, "ada", "token_not_allowed"),
        ("spiffe://casino.example/nobody", "ada", "certificate_unknown"),
    ],
)
async def test_over_a_certificates_connection_only_its_own_tokens_come_unless_it_carries_others(
    house: Premises, issuer: TokenServer, spiffe_id: str, subject: str, says: str
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
    async with entrance(house) as door:
        client = house.client_authority.issue(uris=[spiffe_id])
        refused = await cause(door, issuer.token(subject), client)

        assert (refused or await door.lets_in(client, token=issuer.token(subject))) == says


async def test_a_token_that_is_refused_is_not_made_up_for_by_the_certificate(
    house: Premises, issuer: TokenServer
) -> None:
    house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
    async with entrance(house) as door:
        client = house.client_authority.issue(uris=[SLOTS_ID])

        assert await cause(door, in_the_hand_of_a_forger(issuer), client) == "token_signature"
        with pytest.raises(NotLetIn):
            await door.lets_in(client, authorizations=("Basic x",))
        assert await door.lets_in(client) == "slots by certificate"


async def test_no_token_gets_into_logs_or_errors(
    door: Entrance, issuer: TokenServer, capfd: pytest.CaptureFixture[str]
) -> None:
    tokens = [issuer.token()]
    for forge, _ in FORGERIES.values():
        tokens.append(forge(issuer))
    said = []
    with structlog.testing.capture_logs() as logs:
        for token in tokens:
            try:
                said.append(await door.lets_in(token=token))
            except NotLetIn as refused:
                said.append(f"{refused!r} {refused.__cause__!r}")
        issuer.status = 503
        said.append(await cause(door, issuer.token(headers={"kid": "gone"})))

    written = f"{logs} {said} {capfd.readouterr()}"
    parts = {part for token in tokens for part in token.split(".") if len(part) > 10}
    assert len(parts) > 30
    assert not [part for part in parts if part in written]


def test_the_library_itself_would_be_fooled_by_none_of_what_is_forged_here_alone() -> None:
    """What is signed here by hand is what it says: the checks are ours, not the library's moods."""
    key = b"x" * 32
    body = unsigned({"alg": "HS256"}, {"sub": "ada"}).rpartition(".")[0]
    signature = hmac.new(key, body.encode(), hashlib.sha256).digest()
    token = f"{body}.{unsigned({}, {}, signature).rpartition('.')[2]}"

    assert jwt.decode(token, key, algorithms=["HS256"]) == {"sub": "ada"}
