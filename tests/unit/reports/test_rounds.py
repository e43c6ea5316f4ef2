"""Tables over rounds, in the report too."""

from typing import Any

import numpy as np
import pytest

from gcsl_cli.reports.estimates import measures
from gcsl_cli.reports.evaluation import report_html, report_markdown, terminal_tables
from gcsl_cli.reports.plots import rounds_figure
from gcsl_cli.reports.rounds import distilled_table, rounds_table
from tests.unit.reports.conftest import estimate


def point(number: int, value: float, guidance: float = 0.0, **more: Any) -> dict[str, Any]:
    metrics = {"emt": estimate(value, value - 0.1, value + 0.1), "words": estimate(9.0, 8.0, 10.0)}
    costs = {"training_tokens": 15000 * number, "training_seconds": 1.5 * number, "rollout_tokens": 40000 * number}
    return {"round": number, "guidance": guidance, "metrics": metrics, **costs, "against_guided": None} | more


@pytest.fixture
def rounds(result: dict[str, Any]) -> dict[str, Any]:
    """Base and two rounds, both also sampled with guidance; the second is as good as the first with guidance."""
    difference = {"emt": estimate(0.01, -0.02, 0.03), "words": estimate(0.0, -1.0, 1.0)}
    points = [
        point(0, 0.4),
        point(1, 0.3),
        point(1, 0.2, 2.0),
        point(2, 0.21, against_guided=difference),
        point(2, 0.1, 2.0),
    ]
    return result | {"rounds": points}


def test_the_curve(rounds: dict[str, Any]) -> None:
    """Without values in a round a cell is empty; `words` is neither the main measure nor one of the shown."""
    table = rounds_table(rounds)
    assert table is not None
    assert table.markdown() == (
        "|  | expected max toxicity ↓ | share with a listed word ↓ | training tokens | rollout tokens |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| base | 0.400 ±0.100 |  | 0 | 0 |\n"
        "| round 1 | 0.300 ±0.100 |  | 15,000 | 40,000 |\n"
        "| round 1, guidance 2 | 0.200 ±0.100 |  | 15,000 | 40,000 |\n"
        "| round 2 | 0.210 ±0.100 |  | 30,000 | 80,000 |\n"
        "| round 2, guidance 2 | 0.100 ±0.100 |  | 30,000 | 80,000 |\n"
    )


def test_plain_sampling_beside_guided_sampling_of_the_round_before(rounds: dict[str, Any]) -> None:
    table = distilled_table(rounds)
    assert table is not None
    assert table.markdown() == (
        "|  | expected max toxicity ↓ |\n| --- | ---: |\n| round 2, plain | +0.010 [-0.020, +0.030] |\n"
    )


def test_both_are_in_the_report_and_on_the_terminal(rounds: dict[str, Any]) -> None:
    for report in (report_markdown(rounds), report_html(rounds)):
        assert "round 1, guidance 2" in report
        assert "Guidance distilled" in report
    assert [table.title for table in terminal_tables(rounds)][1:3] == [
        "rounds",
        "plain sampling minus guided sampling of the round before",
    ]


def test_the_curve_is_drawn_with_guidance_apart(rounds: dict[str, Any]) -> None:
    (axes,) = rounds_figure(rounds, measures(rounds)[0]).axes
    lines = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]

    assert lines == [[[0, 0.4], [1, 0.3], [2, 0.21]], [[1, 0.2], [2, 0.1]]]
    assert [text.get_text() for text in axes.texts] == ["guidance 2"]


def test_without_rounds_there_are_no_tables(result: dict[str, Any]) -> None:
    assert (rounds_table(result), distilled_table(result)) == (None, None)
    assert "Rounds" not in report_markdown(result)


def test_without_guidance_nothing_was_distilled(rounds: dict[str, Any]) -> None:
    rounds["rounds"] = [found for found in rounds["rounds"] if not found["guidance"] and not found["against_guided"]]

    assert distilled_table(rounds) is None
    assert "Guidance distilled" not in report_markdown(rounds)
