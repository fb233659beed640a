"""What is on record of callbacks: as they came, once, without secrets, and erasable."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from click.testing import CliRunner

from persistence.postgres.callbacks import CallbackTable
from persistence.postgres.database import LedgerRole, ledger_pool
from service.cli import main
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import provider_service_pb2 as pb
from tests.answers import Refused
from tests.integration.providers.seats import seat
from tests.ledgers import Ledgers
from tests.providers_house import (
    ARCADE,
    HUB88,
    SIGNATURE_HEADER,
    UNPUT,
    ProviderApi,
    file_content,
    hmac_headers,
    hub88_bet,
    provider_api,
    public_pem,
    rsa_key,
    rsa_signature,
    write_file,
)
from tests.serving import Grounds, grounds
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

BET = "/transaction/bet"
CLOSE = "/stakehold.v1.ProviderService/CloseSession"


class Records:
    """A house whose ledger can be looked into."""

    def __init__(
        self, api: ProviderApi, sql: "asyncpg.Connection[asyncpg.Record]", ground: Grounds, metrics: str
    ) -> None:
        self.api = api
        self.sql = sql
        self.ground = ground
        self._metrics = metrics

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://{self._metrics}/metrics")).text

    async def callbacks(self) -> list[dict[str, Any]]:
        rows = await self.sql.fetch("SELECT * FROM providers.callbacks ORDER BY callback_number")
        return [dict(row) for row in rows]

    async def answers(self, count: int) -> list[dict[str, Any]]:
        """Once there are so many."""

        async def are_noted() -> bool:
            return int(await self.sql.fetchval("SELECT count(*) FROM providers.callback_answers")) >= count

        await until(are_noted, what=f"{count} answers are noted")
        rows = await self.sql.fetch("SELECT * FROM providers.callback_answers ORDER BY answer_number")
        return [dict(row) for row in rows]


@pytest_asyncio.fixture(loop_scope="session")
async def records(valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path) -> AsyncIterator[Records]:
    metrics = f"{LOOPBACK}:{free_port()}"
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(providers_file=write_file(tmp_path), metrics_listen=metrics) as server,
        provider_api(server.address) as api,
    ):
        for source in (HUB88, ARCADE, "cashier"):
            await api.wallets.put_source(source)
        sql = await asyncpg.connect(ground.ledger_dsn)
        try:
            yield Records(api, sql, ground, metrics)
        finally:
            await sql.close()


async def test_a_callback_is_kept_as_it_came(records: Records) -> None:
    one = await seat(records.api)
    bet = hub88_bet(one.player, one.token)
    body = json.dumps(bet, indent=3).encode()
    headers = {
        SIGNATURE_HEADER: rsa_signature(body),
        "Content-Type": "application/json",
        "X-Secret": "hunter2",
    }

    reply = await records.api.hand_over(HUB88, BET, body, headers)

    [callback] = await records.callbacks()
    [answer] = await records.answers(1)
    assert callback["body"] == body
    assert callback["body_digest"] == hashlib.sha256(body).digest()
    assert json.loads(callback["headers"]) == {
        "x-hub88-signature": headers[SIGNATURE_HEADER],
        "content-type": "application/json",
    }
    assert (callback["provider_id"], callback["path"], callback["key_id"]) == (HUB88, BET, "first")
    assert callback["peer"] == "192.0.2.1"
    assert (callback["request_id"], callback["player_id"], callback["transaction_id"]) == (
        bet["request_uuid"],
        one.player,
        bet["transaction_uuid"],
    )
    assert (answer["outcome"], answer["status_code"]) == ("done", 200)
    assert answer["body_digest"] == hashlib.sha256(reply.body).digest()


async def test_the_same_callback_is_kept_once_and_counted(records: Records) -> None:
    one = await seat(records.api)
    bet = hub88_bet(one.player, one.token)
    for _ in range(4):
        await records.api.hub88(BET, bet)
    await records.api.hub88(BET, {**bet, "request_uuid": "another"})

    first, second = await records.callbacks()
    assert first["transaction_id"] == second["transaction_id"]
    rows = await records.sql.fetch("SELECT callback_number, times FROM providers.callback_duplicates")
    assert [tuple(row) for row in rows] == [(first["callback_number"], 3)]
    assert len(await records.answers(5)) == 5


async def test_nothing_is_kept_of_what_nobody_has_signed(records: Records) -> None:
    body = b"{}"
    for headers in ({}, {SIGNATURE_HEADER: "x"}, {SIGNATURE_HEADER: rsa_signature(body, rsa_key("other"))}):
        reply = await records.api.hand_over(HUB88, BET, body, headers)
        assert reply.said == {"status": "RS_ERROR_INVALID_SIGNATURE"}
    too_large = b"x" * 65_537
    reply = await records.api.hand_over(HUB88, BET, too_large, {SIGNATURE_HEADER: rsa_signature(too_large)})
    assert reply.status == "RS_ERROR_WRONG_SYNTAX"

    assert await records.callbacks() == []


async def test_what_became_of_callbacks_is_counted(records: Records) -> None:
    one = await seat(records.api)
    bet = hub88_bet(one.player, one.token)
    for _ in range(3):
        await records.api.hub88(BET, bet)
    await records.api.hub88(BET, hub88_bet(one.player, one.token, amount=10**12))
    await records.api.hand_over(HUB88, BET, b"{}", {})

    told = await records.metrics()

    for line in (
        'stakehold_provider_callbacks_total{outcome="done",provider="hub88"} 3.0',
        'stakehold_provider_callbacks_total{outcome="funds",provider="hub88"} 1.0',
        'stakehold_provider_callbacks_total{outcome="signature",provider="hub88"} 1.0',
        'stakehold_provider_callback_duplicates_total{provider="hub88"} 2.0',
        'stakehold_provider_signature_failures_total{fault="missing",provider="hub88"} 1.0',
        "stakehold_providers_file_unusable 0.0",
    ):
        assert line in told
    assert one.player not in told


async def test_garbage_that_is_signed_is_kept(records: Records) -> None:
    body = b"\x00\xff not json"
    await records.api.hand_over(HUB88, BET, body, {SIGNATURE_HEADER: rsa_signature(body)})

    [callback] = await records.callbacks()
    assert (callback["body"], callback["player_id"], callback["transaction_id"]) == (body, "", "")
    assert [answer["outcome"] for answer in await records.answers(1)] == ["syntax"]


async def test_what_is_kept_cannot_be_changed_but_erased(records: Records) -> None:
    one = await seat(records.api)
    await records.api.hub88(BET, hub88_bet(one.player, one.token))
    await records.answers(1)
    for statement in (
        "UPDATE providers.callbacks SET path = '/x'",
        "UPDATE providers.callbacks SET body = 'x'",
        (
            "UPDATE providers.callbacks SET body = NULL, headers = NULL, peer = NULL, erased_time = now(),"
            " path = '/x'"
        ),
        "DELETE FROM providers.callbacks",
        "TRUNCATE providers.callbacks CASCADE",
        "UPDATE providers.callback_answers SET outcome = 'x'",
        "DELETE FROM providers.callback_answers",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await records.sql.execute(statement)

    async with ledger_pool(
        records.ground.ledger_dsn, role=LedgerRole.CALLBACKS, size=1, statement_timeout_s=5.0
    ) as pool:
        table = CallbackTable(pool)
        assert await table.erase_old(older_than_s=3600.0, most=10) == 0
        assert await table.erase_old(older_than_s=0.0, most=10) == 1
        assert await table.erase_old(older_than_s=0.0, most=10) == 0
    [callback] = await records.callbacks()
    assert (callback["body"], callback["headers"], callback["peer"]) == (None, None, None)
    assert callback["erased_time"] is not None
    assert len(callback["body_digest"]) == 32
    with pytest.raises(asyncpg.RestrictViolationError):
        await records.sql.execute("UPDATE providers.callbacks SET erased_time = now()")


UNREADABLE = [
    (HUB88, BET, {"user": "{player}", "amount": 10.5}),
    (HUB88, "/no/such/path", {"user": "{player}", "note": "Anna Muster"}),
    (ARCADE, "/bet", {"player_id": "{player}", "currency": "EUR", "transaction_id": "t", "amount": 10.5}),
    (ARCADE, "/no-such-path", {"player_id": "{player}"}),
]


@pytest.mark.parametrize(("provider", "path", "fields"), UNREADABLE)
async def test_what_could_not_be_read_is_erased_with_the_player_it_names(
    records: Records, provider: str, path: str, fields: dict[str, Any]
) -> None:
    player, other = "p-4711", "p-4712"
    for one in (player, other):
        body = json.dumps(fields).replace("{player}", one).encode()
        headers = {SIGNATURE_HEADER: rsa_signature(body)} if provider == HUB88 else hmac_headers(path, body)
        await records.api.hand_over(provider, path, body, headers)

    erased = await asyncio.to_thread(
        CliRunner().invoke,
        main,
        ["erase", player, "--by", "dpo", "--reason", "request 12"],
        env={
            "STAKEHOLD_POSTGRES_URL": records.ground.ledger_dsn,
            "STAKEHOLD_VALKEY_URL": records.ground.valkey_url,
        },
    )

    assert "1 callbacks were erased" in erased.output
    assert [(kept["player_id"], kept["body"] is None) for kept in await records.callbacks()] == [
        (player, True),
        (other, False),
    ]


async def test_a_player_that_is_named_by_a_number_is_known(records: Records) -> None:
    body = json.dumps({"player_id": 4711, "currency": "EUR"}).encode()

    reply = await records.api.hand_over(ARCADE, "/balance", body, hmac_headers("/balance", body))

    assert (reply.status_code, reply.status) == (400, "types")
    assert [callback["player_id"] for callback in await records.callbacks()] == ["4711"]


async def test_a_retry_of_what_was_erased_is_still_the_same(records: Records) -> None:
    one = await seat(records.api)
    bet = hub88_bet(one.player, one.token)
    first = await records.api.hub88(BET, bet)
    async with ledger_pool(
        records.ground.ledger_dsn, role=LedgerRole.CALLBACKS, size=1, statement_timeout_s=5.0
    ) as pool:
        assert await CallbackTable(pool).erase_old(older_than_s=0.0, most=10) == 1

    again = await records.api.hub88(BET, bet)

    assert again.body == first.body
    [callback] = await records.callbacks()
    assert callback["body"] is None


SEEN_BY = {
    LedgerRole.READER: "provider_id, player_id, body_digest",
    LedgerRole.ERASER: "player_id, erased_time",
}


@pytest.mark.parametrize("role", SEEN_BY)
async def test_readers_and_erasers_do_not_see_what_was_sent(records: Records, role: LedgerRole) -> None:
    async with ledger_pool(records.ground.ledger_dsn, role=role, size=1, statement_timeout_s=5.0) as pool:
        await pool.fetch(f"SELECT {SEEN_BY[role]} FROM providers.callbacks")
        for column in ("body", "headers", "peer"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(f"SELECT {column} FROM providers.callbacks")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(
                    f"UPDATE providers.callbacks SET body = NULL WHERE {column}::text LIKE '%token%'"
                )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch("SELECT * FROM providers.sessions")


async def test_nobody_else_sees_what_was_sent(records: Records) -> None:
    may = await records.sql.fetch(
        "SELECT role FROM unnest($1::text[]) AS role"
        " WHERE has_column_privilege(role, 'providers.callbacks', 'body', 'SELECT')",
        [str(role) for role in LedgerRole],
    )

    assert [row["role"] for row in may] == [LedgerRole.CALLBACKS]


async def test_the_access_log_says_which_session_was_closed_and_not_its_token(records: Records) -> None:
    one = await seat(records.api)

    await records.api.providers.CloseSession(pb.CloseSessionRequest(token=one.token))

    async def is_ended() -> bool:
        return bool(
            await records.sql.fetchval(
                "SELECT EXISTS (SELECT FROM ledger.access_log WHERE kind = 'ended' AND method = $1)", CLOSE
            )
        )

    await until(is_ended, what="its outcome is on record")
    [closed] = await records.sql.fetch(
        """
        SELECT provider_id, sessions.player_id
        FROM ledger.access_log
        JOIN providers.sessions ON encode(token_digest, 'hex') = details ->> 'token_digest'
        WHERE kind = 'begun' AND method = $1
        """,
        CLOSE,
    )
    assert tuple(closed) == (HUB88, one.player)
    said = await records.sql.fetch("SELECT access_log::text FROM ledger.access_log")
    assert not any(one.token in row[0] for row in said)


async def test_keys_follow_each_other_while_it_serves(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    """Both keys at first, then the new one alone; a broken file in between changes nothing."""
    path = write_file(tmp_path)
    new = {"id": "second", "public_key": public_pem(rsa_key("second"))}
    content = file_content()
    signature = content["providers"][0]["signature"]
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(providers_file=path) as server,
        provider_api(server.address) as api,
    ):
        for source in (HUB88, "cashier"):
            await api.wallets.put_source(source)
        one = await seat(api)

        async def takes(key_name: str) -> bool:
            bet = hub88_bet(one.player, one.token, amount=0)
            reply = await api.hub88(BET, bet, key=rsa_key(key_name))
            return reply.status == "RS_OK"

        assert (await takes("hub88"), await takes("second")) == (True, False)
        write_file(
            tmp_path,
            {
                **content,
                "providers": [
                    {**content["providers"][0], "signature": {**signature, "keys": [*signature["keys"], new]}}
                ],
            },
        )
        await until(lambda: takes("second"), what="the new key is known")
        assert await takes("hub88")
        path.write_text("providers: [")
        assert (await takes("hub88"), await takes("second")) == (True, True)
        write_file(
            tmp_path,
            {
                **content,
                "providers": [{**content["providers"][0], "signature": {**signature, "keys": [new]}}],
            },
        )

        async def old_is_gone() -> bool:
            return not await takes("hub88")

        await until(old_is_gone, what="the old key is gone")
        assert await takes("second")


async def test_who_is_not_configured_is_not_found(records: Records) -> None:
    with pytest.raises(Refused) as refused:
        await records.api.hand_over("nobody", BET, b"{}", {})
    assert (refused.value.code, refused.value.reason) == (
        "NOT_FOUND",
        "PROVIDER_NOT_FOUND",
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"method": "get"}, "method"),
        ({"path": "no/slash"}, "path"),
        ({"path": "/\x00"}, "path"),
        ({"path": "/" + "x" * 600}, "path"),
        ({"provider_id": ""}, "provider_id"),
    ],
)
async def test_what_no_edge_hands_over_is_malformed(
    records: Records, fields: dict[str, str], field: str
) -> None:
    asked = {"provider_id": HUB88, "path": BET, "method": "POST", **fields}
    with pytest.raises(Refused) as refused:
        await records.api.hand_over(asked["provider_id"], asked["path"], b"{}", {}, method=asked["method"])
    assert refused.value.code == "INVALID_ARGUMENT"
    assert await records.callbacks() == []


async def test_a_source_that_was_never_put_is_nobodys_refusal(records: Records) -> None:
    one = await seat(records.api)
    win = {"player_id": one.player, "currency": "EUR", "transaction_id": "t", "amount": "1.00", "prize": True}
    body = json.dumps(win).encode()

    refused = await records.api.hand_over(UNPUT, "/win", body, hmac_headers("/win", body))
    await records.api.wallets.put_source(UNPUT)
    done = await records.api.hand_over(UNPUT, "/win", body, hmac_headers("/win", body))

    assert (refused.status_code, refused.status) == (503, "retry")
    assert (done.status_code, done.status) == (200, "ok")
