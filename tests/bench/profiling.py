"""Where the server's time goes."""

import io
import pstats
from pathlib import Path

from tests.bench.bench_stack import bench_stack
from tests.bench.load import Job
from tests.bench.loader import running_loader
from tests.bench.plan import MAIN_CONCURRENCY, Plan
from tests.bench.setting_up import put_source

SHOWN = 45
PROFILED_S = 8.0


async def profile_debits(plan: Plan, folder: Path) -> str:
    """Debits at the main concurrency with the server under cProfile: its costliest functions as a text.

    The profiler slows Python functions more than C ones: compare shares, and distrust absolute times.
    """
    file = folder / "serve.profile"
    async with bench_stack(folder, profile=file) as stack, running_loader(stack) as loader:
        await put_source(stack.address)
        for method in ("open", "deposit"):
            await loader.run(Job(method, loader.new_run(), plan.players, count=plan.players))
        job = Job("debit", loader.new_run(), plan.players, MAIN_CONCURRENCY, seconds=PROFILED_S)
        figures = await loader.run(job)
    text = io.StringIO()
    text.write(f"{figures.per_s:,.0f} debits/s under the profiler\n")
    pstats.Stats(str(file), stream=text).strip_dirs().sort_stats("tottime").print_stats(SHOWN)
    return text.getvalue()
