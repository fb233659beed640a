"""Real TLS: who gets a connection, whom it is taken for, and what becomes of it when files change."""

import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog.testing
from cryptography import x509

from persistence.errors import SetupRefused
from service.embedded.ports import LOOPBACK
from tests.authorities import HOUR, Authority, Issued
from tests.entrance import Entrance, NotLetIn, Premises, entrance, premises, who
from tests.waiting import until

SLOTS_ID = "spiffe://casino.example/games/slots"
SLOTS = {"name": "slots", "roles": ["game"], "sources": ["slots"], "spiffe_ids": [SLOTS_ID]}
CASHIER = {"name": "cashier", "roles": ["cashier"], "certificate_subjects": ["CN=cashier,O=Casino"]}
BOOKS = {"name": "books", "roles": ["auditor"], "certificate_dns_names": ["Books.casino.example"]}


@pytest.fixture
def house(tmp_path: Path) -> Premises:
    made = premises(tmp_path)
    made.write_callers(SLOTS, CASHIER, BOOKS)
    return made


@pytest_asyncio.fixture
async def door(house: Premises) -> AsyncIterator[Entrance]:
    async with entrance(house) as opened:
        yield opened


def slots(house: Premises) -> Issued:
    return house.client_authority.issue(uris=[SLOTS_ID])


async def eventually(door: Entrance, says: str | type[NotLetIn], client: Issued) -> None:
    """Waits until new connections of the client are answered like this."""

    async def is_so() -> bool:
        try:
            return await door.lets_in(client) == says
        except NotLetIn as refused:
            return isinstance(says, type) and isinstance(refused, says)

    await until(is_so, what=f"the door says {says}")


def shown_serial_number(door: Entrance) -> int:
    """Of the certificate that a new connection is shown."""
    pem = ssl.get_server_certificate((LOOPBACK, door.port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial_number(issued: Issued) -> int:
    return x509.load_pem_x509_certificate(issued.certificate).serial_number


@pytest.mark.parametrize(
    ("subject", "names", "says"),
    [
        ("", {"uris": [SLOTS_ID]}, "slots by certificate"),
        ("O=Casino,CN=anything", {"uris": [SLOTS_ID]}, "slots by certificate"),
        ("CN=cashier,O=Casino", {}, "cashier by certificate"),
        ("CN=x", {"dns_names": ["books.casino.example"]}, "books by certificate"),
    ],
)
async def test_a_caller_is_known_by_its_certificate(
    door: Entrance, subject: str, names: dict[str, Any], says: str
) -> None:
    assert await door.lets_in(door.premises.client_authority.issue(subject, **names)) == says


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("CN=somebody", {}),
        ("O=Casino,CN=cashier", {}),
        ("CN=cashier,O=Casino,C=MT", {}),
        ("CN=Cashier,O=Casino", {}),
        (f"CN={SLOTS_ID}", {}),
        ("CN=books.casino.example", {}),
        ("CN=x", {"uris": [SLOTS_ID.upper()]}),
        ("CN=x", {"uris": [f"{SLOTS_ID}/more"]}),
        ("CN=x", {"uris": [SLOTS_ID, "spiffe://casino.example/games/other"]}),
        ("CN=x", {"uris": [SLOTS_ID, "https://casino.example"]}),
        ("CN=x", {"dns_names": ["books.casino.example.evil.example"]}),
        ("CN=x", {"dns_names": ["*.casino.example"]}),
        ("CN=cashier,O=Casino", {"uris": [SLOTS_ID]}),
    ],
)
async def test_a_trusted_certificate_of_nobody_or_of_two_callers_is_not_enough(
    door: Entrance, subject: str, names: dict[str, Any]
) -> None:
    with pytest.raises(NotLetIn) as refused:
        await door.lets_in(door.premises.client_authority.issue(subject, **names))

    assert (refused.value.code, refused.value.cause) == ("UNAUTHENTICATED", "certificate_unknown")


@pytest.mark.parametrize(
    "issue",
    [
        lambda house: Authority("clients").issue(uris=[SLOTS_ID]),
        lambda house: house.server_authority.issue(uris=[SLOTS_ID]),
        lambda house: house.client_authority.issue(uris=[SLOTS_ID], ends_in=-HOUR / 2),
        lambda house: house.client_authority.issue(uris=[SLOTS_ID], begins_in=HOUR / 2),
        lambda house: None,
    ],
    ids=["another authority", "the servers' authority", "expired", "not valid yet", "none"],
)
async def test_a_certificate_that_is_not_trusted_gets_no_connection(
    door: Entrance, issue: Callable[[Premises], Issued | None]
) -> None:
    with pytest.raises(NotLetIn) as refused:
        await door.lets_in(issue(door.premises))

    assert refused.value.code == "UNAVAILABLE"


async def test_a_client_without_tls_gets_no_connection(door: Entrance) -> None:
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{door.port}") as channel:
        with pytest.raises(NotLetIn) as refused:
            await who(channel)

    assert refused.value.code == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("newest", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"),
    ],
    ids=["TLS 1.1", "no forward secrecy", "CBC"],
)
def test_old_versions_and_weak_ciphers_are_refused(
    door: Entrance, newest: ssl.TLSVersion, ciphers: str
) -> None:
    with pytest.raises(OSError, match=r"ALERT|EOF|reset"):  # by the server, not by this client
        shake_hands(door, newest, ciphers)


def test_tls_1_2_with_a_forward_secret_cipher_is_spoken(door: Entrance) -> None:
    assert shake_hands(door, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256") == "TLSv1.2"


def shake_hands(door: Entrance, newest: ssl.TLSVersion, ciphers: str) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = newest
        context.maximum_version = newest
    context.set_ciphers(ciphers)
    context.set_alpn_protocols(["h2"])
    client = slots(door.premises)
    pair = door.premises.folder / "client.pem"
    pair.write_bytes(client.certificate + client.key)
    context.load_cert_chain(pair)
    with socket.create_connection((LOOPBACK, door.port), 10) as plain, context.wrap_socket(plain) as secure:
        return secure.version()


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    house: Premises, door: Entrance
) -> None:
    client, renewed = slots(house), house.server_authority.issue_server(ends_in=2 * HOUR)
    async with door.connected(client) as old:
        assert await who(old) == "slots by certificate"
        renewed.write(house.certificate, house.key)

        await until_shown(door, renewed)

        assert await who(old) == "slots by certificate"
    assert await door.lets_in(client) == "slots by certificate"
    ends_s = x509.load_pem_x509_certificate(renewed.certificate).not_valid_after_utc.timestamp()
    assert door.metrics.get_sample_value("stakehold_tls_certificate_expiry_timestamp_seconds") == ends_s


async def until_shown(door: Entrance, issued: Issued) -> None:
    async def is_shown() -> bool:
        return shown_serial_number(door) == serial_number(issued)

    await until(is_shown, what="the new certificate is shown")


@pytest.mark.parametrize("broken", ["half", "garbage", "expired", "gone", "another key"])
async def test_a_broken_pair_is_told_and_the_old_one_stays_until_a_good_one_comes(
    house: Premises, door: Entrance, broken: str
) -> None:
    before, renewed = shown_serial_number(door), house.server_authority.issue_server()
    with structlog.testing.capture_logs() as logs:
        match broken:
            case "half":
                house.certificate.write_bytes(renewed.certificate)
            case "garbage":
                house.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nnothing")
            case "expired":
                house.server_authority.issue_server(ends_in=-HOUR / 2).write(house.certificate, house.key)
            case "gone":
                house.key.unlink()
            case _:
                house.key.write_bytes(renewed.key)

        async def is_told() -> bool:
            return door.metrics.get_sample_value("stakehold_tls_reload_failures_total") == 1

        await until(is_told, what="the failure is counted")
        assert shown_serial_number(door) == before
        assert await door.lets_in(slots(house)) == "slots by certificate"
    [told] = [event for event in logs if event["event"] == "tls_certificates_unusable"]
    assert str(house.folder) in told["reason"]
    assert "PRIVATE" not in str(logs)

    renewed.write(house.certificate, house.key)
    await until_shown(door, renewed)


async def test_clients_of_an_authority_that_is_removed_are_let_in_no_more_not_even_over_old_connections(
    house: Premises, door: Entrance
) -> None:
    newer = Authority("newer")
    old_client, new_client = slots(house), newer.issue(uris=[SLOTS_ID])
    async with door.connected(old_client) as old_connection:
        assert await who(old_connection) == "slots by certificate"
        house.client_ca.write_bytes(house.client_authority.certificate + newer.certificate)
        await eventually(door, "slots by certificate", new_client)
        assert await door.lets_in(old_client) == "slots by certificate"
        assert await who(old_connection) == "slots by certificate"

        house.client_ca.write_bytes(newer.certificate)
        await eventually(door, NotLetIn, old_client)

        assert await door.lets_in(new_client) == "slots by certificate"
        with pytest.raises(NotLetIn) as refused:
            await who(old_connection)
        assert refused.value.cause == "certificate_untrusted"


async def test_a_certificate_that_ends_while_its_connection_lives_is_good_no_longer(
    house: Premises, door: Entrance
) -> None:
    client = house.client_authority.issue(uris=[SLOTS_ID], ends_in=timedelta(seconds=3))
    async with door.connected(client) as channel:
        assert await who(channel) == "slots by certificate"

        async def has_ended() -> bool:
            try:
                await who(channel)
            except NotLetIn as refused:
                return refused.cause == "certificate_expired"
            return False

        await until(has_ended, what="the certificate has ended")


async def test_a_caller_that_is_removed_or_renamed_in_the_file_is_so_for_open_connections_too(
    house: Premises, door: Entrance
) -> None:
    async with door.connected(slots(house)) as channel:
        assert await who(channel) == "slots by certificate"

        house.write_callers({**SLOTS, "name": "reels"}, CASHIER)

        async def is_renamed() -> bool:
            return await who(channel) == "reels by certificate"

        await until(is_renamed, what="the new file is in use")
        house.write_callers(CASHIER)

        async def is_removed() -> bool:
            try:
                await who(channel)
            except NotLetIn as refused:
                return refused.cause == "certificate_unknown"
            return False

        await until(is_removed, what="the caller is removed")


async def test_a_broken_callers_file_is_told_and_the_old_one_stays(house: Premises, door: Entrance) -> None:
    with structlog.testing.capture_logs() as logs:
        house.write_callers(SLOTS, {**CASHIER, "spiffe_ids": [SLOTS_ID]})

        async def is_told() -> bool:
            return door.metrics.get_sample_value("stakehold_callers_reload_failures_total") == 1

        await until(is_told, what="the failure is counted")
        assert await door.lets_in(slots(house)) == "slots by certificate"
    [told] = [event for event in logs if event["event"] == "callers_file_refused"]
    assert f"two callers are known by SPIFFE id {SLOTS_ID}" in told["reason"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tls_cert_file": ""}, "STAKEHOLD_TLS_CERT_FILE"),
        ({"tls_key_file": ""}, "STAKEHOLD_TLS_KEY_FILE"),
        ({"callers_file": ""}, "STAKEHOLD_CALLERS_FILE"),
        ({"tls_client_ca_file": ""}, "STAKEHOLD_TLS_CLIENT_CA_FILE"),
        ({"tls_cert_file": "/nowhere"}, "/nowhere cannot be read"),
        ({"callers_file": "/nowhere"}, "/nowhere cannot be read"),
        ({"insecure_development": True}, "unset it, or them"),
    ],
)
async def test_without_all_that_it_takes_the_door_is_not_opened(
    house: Premises, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(SetupRefused, match=says):
        async with entrance(house, **changes):
            pass


@pytest.mark.parametrize("when", [{"ends_in": -HOUR / 2}, {"begins_in": HOUR / 2}])
async def test_a_server_does_not_start_with_a_certificate_that_is_not_valid_now(
    house: Premises, when: dict[str, timedelta]
) -> None:
    house.server_authority.issue_server(**when).write(house.certificate, house.key)

    with pytest.raises(SetupRefused, match="and not now"):
        async with entrance(house):
            pass
