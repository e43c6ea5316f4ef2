"""Tables of a result and of a sweep."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from gcsl_cli.reports.evaluation import (
    differences_table,
    results_table,
    terminal_tables,
    values_table,
)
from gcsl_cli.reports.held_out import discrimination_table, likelihood_table
from gcsl_cli.reports.tables import Cell, Column, Table, sweep_table


def text(table: Table, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_values_in_markdown(result: dict[str, Any]) -> None:
    assert values_table(result).markdown() == (
        "|  | base \\| no goal | best \\<goal> |\n"
        "| --- | ---: | ---: |\n"
        "| expected max toxicity ↓ | 0.400 [0.300, 0.500] | 0.250 [0.150, 0.350] |\n"
        "| share with a listed word ↓ | 0.20 [0.10, 0.30] | n/a |\n"
        "| words | 12.0 [11.0, 13.0] | 14.0 [13.0, 15.0] |\n"
    )


def test_differences_in_markdown(result: dict[str, Any]) -> None:
    differences = differences_table(result)
    assert differences is not None
    assert differences.markdown() == (
        "|  | best \\<goal> |\n"
        "| --- | ---: |\n"
        "| expected max toxicity | -0.150 [-0.200, -0.050] **better** |\n"
        "| share with a listed word | n/a |\n"
        "| words | +2.0 [+1.0, +3.0] **differs** |\n"
    )


def test_without_a_base_arm_there_are_no_differences(result: dict[str, Any]) -> None:
    result["arms"] = [result["arms"][0]]

    assert differences_table(result) is None
    assert "difference" not in text(results_table(result))


def test_the_terminal_shows_value_half_width_and_verdict(result: dict[str, Any]) -> None:
    shown = text(results_table(result))

    assert "0.400 ±0.100" in shown
    assert "-0.150 better" in shown
    assert "+2.0 differs" in shown
    assert "paired difference to base | no goal" in " ".join(shown.split())


def test_a_measure_that_an_arm_lacks_is_undefined(result: dict[str, Any]) -> None:
    del result["arms"][1]["metrics"]["words"]

    assert "| words | 12.0 [11.0, 13.0] | n/a |" in values_table(result).markdown()


def values(table: Table) -> list[list[str]]:
    return [[cell.value for cell in row] for row in table.rows()]


@pytest.fixture
def outcomes() -> list[dict[str, Any]]:
    done = {"job": 0, "overrides": ["task=toxicity", "seed=1"], "status": "done", "message": "", "run": "runs/a"}
    failed = {"job": 1, "overrides": ["task=toxicity", "goal.target=[red]"], "status": "failed", "run": ""}
    return [{**done, "columns": {"max": 0.5}}, {**failed, "message": "[red] is not a target", "columns": {}}]


def test_sweep_shows_what_differs_and_how_each_job_ended(outcomes: list[dict[str, Any]]) -> None:
    table = sweep_table(outcomes)

    assert [column.heading for column in table.columns] == ["job", "overrides", "status", "max", "run or error"]
    assert values(table) == [
        ["0", "seed=1", "done", "0.500", "runs/a"],
        ["1", "goal.target=[red]", "failed", "-", "[red] is not a target"],
    ]
    assert table.notes == ["All with task=toxicity."]


def test_a_job_that_was_done_before_shows_its_run(outcomes: list[dict[str, Any]]) -> None:
    outcomes[0] |= {"status": "already done", "message": "This run is done: runs/a."}

    assert values(sweep_table(outcomes))[0][2:] == ["already done", "0.500", "runs/a"]


def test_sweep_on_the_terminal_takes_brackets_literally(outcomes: list[dict[str, Any]]) -> None:
    shown = text(sweep_table(outcomes))

    assert "goal.target=[red]" in shown
    assert "[red] is not a target" in shown
    assert "All with task=toxicity." in shown


def test_a_sweep_of_one_job_shows_all_its_overrides(outcomes: list[dict[str, Any]]) -> None:
    assert values(sweep_table(outcomes[:1]))[0][:3] == ["0", "task=toxicity seed=1", "done"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a*b* `c` ~d", "a\\*b\\* \\`c\\` \\~d"),
        ("[x](y) [0.1, 0.2]", "[x]\\(y) [0.1, 0.2]"),
        ("runs/my_task __x__ _y", "runs/my_task \\_\\_x\\_\\_ \\_y"),
        ("&lt; &#60; A & B", "\\&lt; \\&#60; A & B"),
        ("C:\\x", "C:\\\\x"),
    ],
)
def test_a_cell_reads_as_it_was_written(cell: str, expected: str) -> None:
    assert Table.of(["a"], [[cell]]).markdown().splitlines()[2] == f"| {expected} |"


def test_markup_of_the_terminal_is_text(result: dict[str, Any]) -> None:
    markup = "[red]x[/red] [/]"
    result["task"] = result["arms"][1]["label"] = result["columns"][0]["label"] = markup
    result["likelihoods"]["levels"][0] |= {"label": markup, "asked": markup}
    likelihoods = likelihood_table(result)
    assert likelihoods is not None

    assert text(results_table(result)).count(markup) == 3
    assert text(likelihoods).count(markup) == 2


def test_markdown_keeps_a_cell_on_one_line() -> None:
    assert Table.of(["a"], [["x\n| y"]]).markdown() == "| a |\n| --- |\n| x \\| y |\n"


def test_tables_of_held_out_rows(result: dict[str, Any]) -> None:
    auc, likelihoods = discrimination_table(result), likelihood_table(result)
    assert auc is not None
    assert likelihoods is not None

    assert "0.740 [0.700, 0.780]" in text(auc)
    assert "-2.100 [-2.200, -2.000]" in text(likelihoods)
    assert "Be <polite>." in text(likelihoods)
    assert discrimination_table(result | {"discrimination": None}) is None
    assert likelihood_table(result | {"likelihoods": None}) is None


@pytest.fixture
def wide() -> Table:
    """A column of words (30 characters), two measures (12) and a detail (12): 79 characters with the frame."""
    words = [Cell("a method with words, guidance 2"[:30])]
    numbers = [Cell("0.100 ±0.010")]
    return Table(
        [
            Column("", words, prose=True),
            Column("max toxicity", numbers),
            Column("detail", numbers, detail=True),
            Column("other measure", numbers),
        ]
    )


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (80, ["max toxicity", "detail", "other measure"]),
        (79, ["max toxicity", "detail", "other measure"]),
        (78, ["max toxicity", "other measure"]),
        (53, ["max toxicity", "other measure"]),
        (52, ["max toxicity"]),
        (10, []),
    ],
)
def test_a_narrow_terminal_drops_details_then_wraps_words_then_drops_measures(
    wide: Table, width: int, headings: list[str]
) -> None:
    """All: 1 + 33 + 3 * 15 = 79 characters. Words wrap down to 19, so two measures need 1 + 22 + 30 = 53."""
    shown = [column.heading for column in wide.fitting(width).columns]

    assert shown == ["", *headings]


@pytest.mark.parametrize("width", [60, 79, 100, 1000])
def test_lines_fit_and_numbers_do_not_wrap(wide: Table, width: int) -> None:
    shown = text(wide, width)

    assert max(len(line) for line in shown.splitlines()) <= width
    assert "0.100 ±0.010" in shown
    assert ("Columns that do not fit here: detail." in " ".join(shown.split())) == (width == 60)


def test_all_tables_of_an_evaluation_fit_100_columns(result: dict[str, Any]) -> None:
    """Ten measures and six arms, as in the demo."""
    result["columns"] = [column | {"detail": place > 4} for place, column in enumerate(result["columns"] * 4)]
    result["arms"] = result["arms"] * 3
    result["likelihoods"]["levels"][0]["asked"] = "The following text is kind, polite and respectful. " * 4
    for table in terminal_tables(result):
        lines = text(table, 100).splitlines()

        assert max(map(len, lines)) <= 100
        assert not any(line.rstrip(" │").endswith("±") for line in lines)
