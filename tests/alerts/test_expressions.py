"""Rules and dashboards ask for what the code tells, and for nothing else."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.alerts.expressions import problems_of
from tests.alerts.promtool import alerts, recordings
from tests.deployment import ROOT

DASHBOARDS = sorted((ROOT / "helm" / "stakehold" / "dashboards").glob("*.json"))
WIDTH = 24
INTERVAL, SOURCE = ("$__rate_interval", "5m"), ("$source", ".*")

all_dashboards = pytest.mark.parametrize(
    "board", [json.loads(file.read_text()) for file in DASHBOARDS], ids=[file.stem for file in DASHBOARDS]
)
Board = dict[str, Any]


def filled_in(query: str) -> str:
    """As Grafana does."""
    for variable, value in (INTERVAL, SOURCE):
        query = query.replace(variable, value)
    return query


def panels_of(board: Board) -> list[dict[str, Any]]:
    """Without the rows' titles."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries_of(board: Board) -> list[str]:
    annotations = [annotation["expr"] for annotation in board["annotations"]["list"]]
    return annotations + [target["expr"] for panel in panels_of(board) for target in panel["targets"]]


def test_rules_ask_for_metrics_and_labels_that_there_are() -> None:
    rules = {rule.name: rule.expression for rule in alerts()}
    rules |= {rule.name: rule.expression for rule in recordings()}

    assert {name: found for name, text in rules.items() if (found := problems_of(text))} == {}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(stakehold_nothing)", "there is no metric stakehold_nothing"),
        ('stakehold_calls_total{reason="x"}', "stakehold_calls_total has no label reason"),
        ("sum by (pair) (rate(stakehold_calls_total[5m]))", "no metric of it has a label pair"),
        ("rate(stakehold_calls[5m])", "there is no metric stakehold_calls"),
    ],
)
def test_what_is_not_there_is_found(expression: str, problem: str) -> None:
    assert problem in problems_of(expression)


def test_there_are_four_dashboards() -> None:
    assert {file.stem for file in DASHBOARDS} == {"money", "hot-path", "ledger", "callers"}


@all_dashboards
def test_dashboards_ask_for_metrics_and_labels_that_there_are(board: Board) -> None:
    queries = queries_of(board)

    assert len(queries) > 10
    assert {query: found for query in queries if (found := problems_of(filled_in(query)))} == {}


@all_dashboards
def test_panels_say_what_they_show_and_in_what(board: Board) -> None:
    for panel in panels_of(board):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@all_dashboards
def test_the_source_of_data_is_a_variable(board: Board) -> None:
    variables = {variable["name"] for variable in board["templating"]["list"]}
    panels = panels_of(board)
    sources = [panel["datasource"] for panel in panels]
    sources += [target["datasource"] for panel in panels for target in panel["targets"]]

    assert "datasource" in variables
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert ("source" in variables) == any("$source" in query for query in queries_of(board))


@all_dashboards
def test_panels_have_ids_and_places_of_their_own(board: Board) -> None:
    panels = board["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= WIDTH, panel["title"]
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_dashboards_have_names_that_stay() -> None:
    assert {json.loads(file.read_text())["uid"] for file in DASHBOARDS} == {
        f"stakehold-{file.stem}" for file in DASHBOARDS
    }
