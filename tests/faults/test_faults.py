"""Short plays with a few faults each: nothing is lost, nothing is doubled, everybody gets an answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.run import play_and_check
from tests.faults.schedule import Fault
from tests.faults.varieties import CLUSTER, REPLICA, REPLICA_FSYNC, SINGLE, Variety

HOLD_S = 0.6
QUICK = (
    (SINGLE, ("kill-server", "kill-drainer", "kill-postgres")),
    (SINGLE, ("kill-valkey", "freeze-valkey", "cut-server-store", "half-open-drainer-ledger")),
    (SINGLE, ("flushall", "truncate-aof")),
    (REPLICA, ("promote-after-kill",)),
    (REPLICA_FSYNC, ("promote-behind",)),
    (CLUSTER, ("failover-kill",)),
    (CLUSTER, ("failover-freeze",)),
)


@pytest.mark.parametrize(
    ("variety", "kinds"), QUICK, ids=[f"{variety.name} {' '.join(kinds)}" for variety, kinds in QUICK]
)
async def test_faults_under_load_lose_and_double_nothing(
    tmp_path: Path, variety: Variety, kinds: Sequence[str]
) -> None:
    faults = [Fault(kind, after_s=0.2, hold_s=HOLD_S, target=1, share=1.0) for kind in kinds]
    run = await play_and_check(tmp_path, faults, seed=" ".join(kinds), variety=variety)

    assert not run.violations, "\n".join(map(str, run.violations[:20]))
    assert [done.fault for done in run.strikes] == faults
    assert not run.history.unknown_calls()
    mended_s = run.strikes[-1].mended_s
    assert any(attempt.called_s > mended_s and attempt.certain for attempt in run.history.attempts)
    assert run.reported_lost_count or "promote-behind" not in kinds
