"""The past that the benchmark of long memory writes, and the shape of what it reports."""

from persistence.transactions import PlayerId
from tests.bench.long_memory.report import GOALS, document, table, warnings
from tests.bench.long_memory.running import Results
from tests.bench.long_memory.seeding import Past
from tests.bench.workload import player_name


def test_players_with_a_past_come_after_those_without() -> None:
    past = Past(wallets=2, tips=(0, 5))

    assert list(past.players()) == [
        (PlayerId(player_name(number)), tips) for number, tips in ((0, 0), (1, 0), (2, 0), (3, 5))
    ]


def test_every_goal_is_judged_in_the_table_and_in_the_document() -> None:
    results = _results(by=1.0)

    lines = "\n".join(table(results))

    assert lines.count(": met") + lines.count(": NOT MET") == len(GOALS)
    assert set(document(results)["goals"]) == {".".join(name) for name in GOALS}


def test_a_busy_machine_is_told_of_chapter_by_chapter() -> None:
    results = _results(by=1.0)
    results.chapters["forever"]["neighbours_share"] = 0.5

    assert list(warnings(results)) == ["Other programs took 50% of the processors while measuring forever."]


def _results(*, by: float) -> Results:
    results = Results(environment={"cores": 2})
    for chapter, name in GOALS:
        results.chapters.setdefault(chapter, {"took_s": 1.0, "neighbours_share": 0.0})[name] = by
    return results
