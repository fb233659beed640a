"""The benchmark's arithmetic, and the shape of what it writes."""

import pytest

from stakehold.v1 import wallet_service_pb2
from tests.bench.figures import Figures, medians, paired_ratio, percentile
from tests.bench.measuring import Results
from tests.bench.report import GOALS, document, table, warnings
from tests.bench.workload import HOT_PLAYER, requests

FIGURES = {
    "per_s": 1000.0,
    "p50_ms": 1.0,
    "p95_ms": 2.0,
    "p99_ms": 3.0,
    "server_cpu_us": 400.0,
    "store_cpu_us": 50.0,
}


@pytest.mark.parametrize(
    ("values", "quantile", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(value) for value in range(1, 101)], 0.99, 99.0),
        ([float(value) for value in range(1, 101)], 1.0, 100.0),
        ([float(value) for value in range(1, 201)], 0.95, 190.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], quantile: float, expected: float
) -> None:
    assert percentile(values, quantile) == expected


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_ratio_compares_what_was_measured_right_after_one_another() -> None:
    # The machine was three times as fast in the last round: the ratio of the sums would be 0.56.
    assert paired_ratio([50.0, 40.0, 150.0], [100.0, 80.0, 250.0]) == 0.5


def test_medians_are_taken_figure_by_figure() -> None:
    rounds = [
        Figures(per_s, p50, 2.0, 3.0, 400.0, 50.0) for per_s, p50 in ((10.0, 3.0), (30.0, 1.0), (20.0, 2.0))
    ]

    assert medians(rounds) == Figures(20.0, 2.0, 2.0, 3.0, 400.0, 50.0)


def test_requests_spread_over_the_players_with_ids_of_their_own() -> None:
    sent = [
        wallet_service_pb2.DebitRequest.FromString(request)
        for request in requests("debit", count=6, players=3, run="run-1")
    ]

    assert len({request.player_id for request in sent}) == 3
    assert len({request.transaction_id for request in sent}) == 6
    assert len({request.round_id for request in sent}) == 6


def test_no_players_means_the_hot_one() -> None:
    sent = requests("debit", count=2, players=0, run="run-1")

    assert {wallet_service_pb2.DebitRequest.FromString(request).player_id for request in sent} == {HOT_PLAYER}


@pytest.fixture
def results() -> Results:
    return Results(
        environment={"durability": "fsync", "cores": 2},
        ceilings={
            **{f"echo_c{concurrency}": FIGURES for concurrency in (1, 16, 64, 256)},
            "script_pipelined": {"per_s": 50_000.0},
            "postgres_copy": {"per_s": 90_000.0},
        },
        product={
            **{f"debit_c{concurrency}": FIGURES for concurrency in (1, 16, 64, 256)},
            "debit_hot_c64": FIGURES,
            "drain": {"per_s": 9_000.0, "backlog": 50_000},
            "events": {"debits_per_s": 500.0, "told": 1000, "p50_ms": 10.0, "p99_ms": 30.0},
            "lag_at_half_load": {"debits_per_s": 500.0, "p50_ms": 20.0, "p99_ms": 90.0},
            "redis_bytes_per_id": 400,
            "settlements": {"count": 20_000, "accepted_per_s": 9_000.0, "applied_per_s": 3_000.0},
        },
        ratios={
            "unary_c64": 0.5,
            "unary_c1_p50": 3.1,
            "drain_vs_unary": 1.2,
            "hot_wallet": 0.95,
            "foreign_debit": 0.9,
            "exchange": 0.85,
            "batch": 0.7,
            "stream": 0.6,
            "observability": 0.96,
            "live_p99_while_accepting": 1.5,
            "live_p99_while_applying": 1.9,
            "other": 1.0,
        },
    )


def test_the_document_says_of_each_goal_whether_it_is_met(results: Results) -> None:
    written = document(results)

    assert written.keys() == {"environment", "ceilings", "product", "ratios", "goals"}
    assert written["goals"].keys() == GOALS.keys()
    assert {name: goal["met"] for name, goal in written["goals"].items()} == {
        "unary_c64": True,
        "unary_c1_p50": False,
        "drain_vs_unary": True,
        "hot_wallet": True,
        "foreign_debit": True,
        "exchange": True,
        "batch": True,
        "stream": True,
        "observability": True,
        "live_p99_while_accepting": True,
        "live_p99_while_applying": True,
    }


def test_a_busy_machine_is_named(results: Results) -> None:
    results.environment["neighbours_share"] = 0.4

    assert "40%" in "".join(warnings(results))


def test_a_quiet_machine_needs_no_word(results: Results) -> None:
    results.environment["neighbours_share"] = 0.02

    assert list(warnings(results)) == []


def test_the_table_shows_every_ratio_and_the_goals_that_are_missed(results: Results) -> None:
    text = "\n".join(table(results))

    assert all(name in text for name in results.ratios)
    assert text.count("NOT MET") == 1
    assert text.index("echo_c16") < text.index("echo_c64") < text.index("echo_c256")
