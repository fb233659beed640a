"""How long a process waits for processors, as Linux tells it."""

from pathlib import Path

from service.working.processors import ProcessorQueue


def test_the_share_is_that_of_the_time_since_it_was_last_asked(tmp_path: Path) -> None:
    source = tmp_path / "schedstat"
    source.write_text("1000 5000 7\n", encoding="ascii")
    queue = ProcessorQueue(source)

    source.write_text("1300 5100 9\n", encoding="ascii")
    assert queue.waiting_share() == 0.25
    assert queue.waiting_share() == 0.0
    source.write_text("1301 5103 9\n", encoding="ascii")
    assert queue.waiting_share() == 0.75


def test_where_nobody_tells_nothing_is_known(tmp_path: Path) -> None:
    assert ProcessorQueue(tmp_path / "none").waiting_share() == 0.0


def test_a_process_that_runs_knows_its_own() -> None:
    assert 0.0 <= ProcessorQueue().waiting_share() <= 1.0
