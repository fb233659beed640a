"""Short plays with a few faults each: nothing is lost, nothing is doubled, everybody gets an answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.run import play_and_check
from tests.faults.schedule import Fault

HOLD_S = 0.8
QUICK = (
    ("kill-server", "kill-drainer"),
    ("kill-valkey",),
    ("kill-postgres",),
    ("freeze-valkey", "cut-server-store", "half-open-drainer-ledger"),
    ("flushall",),
    ("truncate-aof",),
)


@pytest.mark.parametrize("kinds", QUICK, ids=" ".join)
async def test_faults_under_load_lose_and_double_nothing(tmp_path: Path, kinds: Sequence[str]) -> None:
    faults = [Fault(kind, after_s=0.2, hold_s=HOLD_S, target=1, share=1.0) for kind in kinds]
    run = await play_and_check(tmp_path, faults, seed=" ".join(kinds))

    assert not run.violations, "\n".join(map(str, run.violations[:20]))
    assert not run.history.unknown_calls()
    mended_s = run.strikes[-1].mended_s
    assert any(attempt.called_s > mended_s and attempt.certain for attempt in run.history.attempts)
