"""What the audit says of the hot wallets: those that agree, those that drifted, those that are only ahead."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.audit.audit import Audit
from persistence.audit.counts import AuditCounts
from persistence.audit.findings import AuditSummary, Finding, FindingKind
from persistence.errors import Overloaded, StoreUnavailable
from persistence.transactions import PlayerId, TransactionKind, WalletStatus, partition_of
from persistence.valkey.keys import outbox_key, wallets_key
from persistence.valkey.residence import RESIDENCE
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.drained_ledger import EUR, PARTITION_COUNT, USD, Wallets, movement, wallets

BET, DEPOSIT = TransactionKind.BET, TransactionKind.DEPOSIT
ANNA, BOB, EVE = PlayerId("anna"), PlayerId("bob"), PlayerId("eve")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def money(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Wallets]:
    """Anna's and Bob's wallets, drained."""
    async with wallets(private_valkey.url, ledger_dsn) as made:
        for player in (ANNA, BOB):
            await made.open(player)
            await made.move(player, movement(DEPOSIT, "d1", 1_000), source="cashier")
        await made.drain()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def store(private_valkey: EmbeddedValkey) -> AsyncIterator["Redis"]:
    """The store itself, to tamper with."""
    client = Redis.from_url(private_valkey.url, decode_responses=True)
    yield client
    await client.aclose()


async def audited(
    money: Wallets, player: PlayerId | None = None, *, batch_size: int = 1
) -> tuple[list[Finding], AuditSummary]:
    findings: list[Finding] = []
    audit = Audit(money.ledger_dsn, valkey_url=money.valkey_url, batch_size=batch_size)
    async for event in audit.run(player):
        if isinstance(event, AuditSummary):
            return findings, event
        findings.append(event)
    raise AssertionError("no summary")


def key_of(player: PlayerId) -> str:
    return wallets_key(partition_of(player, PARTITION_COUNT), player)


async def rewrite(store: "Redis", player: PlayerId, field: int, text: str) -> None:
    """Changes one field of a player's EUR wallet: version, status, cash and so on, from 0."""
    fields = str(await store.hget(key_of(player), EUR)).split("\x1f")
    fields[field] = text
    await store.hset(key_of(player), EUR, "\x1f".join(fields))


def named(findings: list[Finding]) -> list[tuple[FindingKind, str, str]]:
    return [(finding.kind, finding.player_id, finding.currency) for finding in findings]


async def test_wallets_that_agree_are_counted(money: Wallets) -> None:
    findings, summary = await audited(money)

    assert findings == []
    assert (summary.wallet_count, summary.undrained_wallet_count) == (2, 0)


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        (1, "debits_frozen", "debits_frozen"),
        (2, "1001", "cash 1001"),
        (5, "7", "receivable 7"),
        (6, "50", "credit line 50"),
        (2, "lots", "cannot be read"),
        (0, "1", "at version 1 in the store, but at 2"),
    ],
)
async def test_a_hot_wallet_that_drifted_is_found(
    money: Wallets, store: "Redis", field: int, text: str, said: str
) -> None:
    await rewrite(store, ANNA, field, text)

    findings, _ = await audited(money)
    of_anna, _ = await audited(money, ANNA)
    of_bob, _ = await audited(money, BOB)

    assert named(findings) == named(of_anna) == [(FindingKind.DRIFT, "anna", "EUR")]
    assert said in findings[0].description
    assert of_bob == []


async def test_a_wallet_ahead_of_the_ledger_is_only_counted_while_it_can_still_be_drained(
    money: Wallets,
) -> None:
    await money.move(ANNA, movement(BET, "b1", 10))
    await money.open(EVE)

    findings, summary = await audited(money)

    assert findings == []
    assert (summary.wallet_count, summary.undrained_wallet_count) == (1, 2)

    await money.drain()
    findings, summary = await audited(money)

    assert findings == []
    assert (summary.wallet_count, summary.undrained_wallet_count) == (3, 0)


async def test_a_wallet_ahead_of_the_ledger_with_nothing_left_to_drain_is_a_finding(
    money: Wallets, store: "Redis"
) -> None:
    await money.move(ANNA, movement(BET, "b1", 10))
    await money.open(EVE)
    for player in (ANNA, EVE):
        await store.xtrim(outbox_key(partition_of(player, PARTITION_COUNT)), maxlen=0, approximate=False)

    findings, summary = await audited(money)

    assert named(findings) == [(FindingKind.DRIFT, "anna", "EUR"), (FindingKind.ORPHAN, "eve", "EUR")]
    assert "nothing is left to drain" in findings[0].description
    assert summary.undrained_wallet_count == 0


async def test_a_wallet_that_only_one_side_knows_is_found(money: Wallets, store: "Redis") -> None:
    await store.hdel(key_of(BOB), EUR)
    await store.hset(key_of(EVE), RESIDENCE, await store.hget(key_of(ANNA), RESIDENCE))
    await store.hset(key_of(ANNA), USD, "1\x1factive\x1f0\x1f0\x1f0\x1f0\x1f0\x1f1")
    await store.hset(key_of(EVE), EUR, "1\x1factive\x1f0\x1f0\x1f0\x1f0\x1f0\x1f1")

    findings, _ = await audited(money)

    assert sorted(named(findings)) == [
        (FindingKind.ORPHAN, "anna", "USD"),
        (FindingKind.ORPHAN, "bob", "EUR"),
        (FindingKind.ORPHAN, "eve", "EUR"),
    ]


async def test_players_whom_the_store_does_not_remember_are_left_out(money: Wallets, store: "Redis") -> None:
    await store.delete(key_of(BOB))
    await store.hset(key_of(ANNA), RESIDENCE, "0\x1f\x1f1\x1f\x1f0")
    await store.hset(key_of(ANNA), EUR, "99\x1factive\x1f7\x1f0\x1f0\x1f0\x1f0\x1f1")

    findings, _ = await audited(money)

    assert not findings


async def test_a_wallet_in_a_partition_that_is_not_its_own_is_found(money: Wallets, store: "Redis") -> None:
    wrong = (partition_of(ANNA, PARTITION_COUNT) + 1) % PARTITION_COUNT
    await store.rename(key_of(ANNA), wallets_key(wrong, ANNA))

    findings, _ = await audited(money)

    assert {(finding.kind, finding.player_id) for finding in findings} == {(FindingKind.ORPHAN, "anna")}
    assert any(f"lie in partition {wrong}" in finding.description for finding in findings)


async def test_players_with_names_like_keys_are_not_mixed_up(money: Wallets, store: "Redis") -> None:
    await store.hset("{w3}:wallets:\udcff\udcfe".encode("utf-8", "surrogateescape"), "EUR", "not ours")
    odd = [PlayerId(name) for name in ("*", "[a]", "x}:wallets:y", "{w3}:wallets:anna", " ", "a:b", "?nna")]
    for player in odd:
        await money.open(player)
    await money.drain()

    findings, summary = await audited(money)

    assert findings == []
    assert summary.wallet_count == 2 + len(odd)


async def test_an_audit_under_traffic_finds_nothing(money: Wallets) -> None:
    players = [PlayerId(f"player-{number}") for number in range(20)]
    for player in players:
        await money.open(player)
        await money.move(player, movement(DEPOSIT, "d1", 10_000), source="cashier")

    async def play(evening: int) -> None:
        for number in range(10):
            bets = (movement(BET, f"b{evening}-{number}", 1) for _ in players)
            await asyncio.gather(
                *(money.move(player, bet) for player, bet in zip(players, bets, strict=True))
            )

    for evening in range(5):
        async with asyncio.TaskGroup() as group:
            group.create_task(play(evening))
            group.create_task(money.drain())
            audit = group.create_task(audited(money, batch_size=7))
        findings, summary = audit.result()
        assert findings == []
        assert summary.wallet_count + summary.undrained_wallet_count == 22

    await money.drain()
    findings, summary = await audited(money, batch_size=100)
    assert findings == []
    assert summary.wallet_count == 22


async def test_a_quarantined_record_is_a_finding_until_it_is_drained(money: Wallets, store: "Redis") -> None:
    partition = partition_of(ANNA, PARTITION_COUNT)
    await store.xadd(outbox_key(partition), {"format": "99"}, id="1-*")

    with pytest.raises(Exception, match="are stopped"):
        await money.drain()
    findings, summary = await audited(money)
    of_anna, _ = await audited(money, ANNA)

    assert [(finding.kind, finding.partition) for finding in findings] == [
        (FindingKind.QUARANTINED, partition)
    ]
    assert "OutboxRecordMalformed" in findings[0].description
    assert of_anna == findings
    assert summary.finding_count == 1


async def test_a_status_is_compared_too_after_it_was_set_and_drained(money: Wallets) -> None:
    await money.set_status(BOB, WalletStatus.CLOSED)
    await money.drain()

    findings, summary = await audited(money)

    assert findings == []
    assert summary.wallet_count == 2


async def test_an_audit_without_its_store_says_so(money: Wallets) -> None:
    nowhere = f"redis://{LOOPBACK}:{free_port()}/0"

    with pytest.raises(StoreUnavailable):
        async for _ in Audit(money.ledger_dsn, valkey_url=nowhere).run():
            pass


async def test_only_so_many_audits_run_at_once(money: Wallets) -> None:
    audit = Audit(money.ledger_dsn, valkey_url=money.valkey_url)
    await _change_behind_the_back(money)
    running = [audit.run() for _ in range(4)]
    try:
        for events in running:
            assert isinstance(await anext(events), Finding)
        with pytest.raises(Overloaded):
            await anext(audit.run())
    finally:
        for events in running:
            await events.aclose()

    counts = AuditCounts()
    async for _ in audit.run(counts=counts):
        pass
    assert counts.finding_count == 1


async def _change_behind_the_back(money: Wallets) -> None:
    """Something to find, so that an audit can be held up in its middle."""
    client = Redis.from_url(money.valkey_url, decode_responses=True)
    await rewrite(client, ANNA, 2, "5")
    await client.aclose()
