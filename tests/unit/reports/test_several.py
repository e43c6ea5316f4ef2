"""The tables and pictures on several scores."""

from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.several import (
    cross_talk_table,
    reached_table,
    separation_section,
    separation_table,
    several_sections,
)

UP = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "left_out": 0}
NONE = {"value": None, "low": None, "high": None, "n": 0, "left_out": 4}


def arm(name: str, politeness: float, length: float, **changes: Any) -> dict[str, Any]:
    means = {"politeness": UP | {"value": politeness}, "length": {"value": length, "low": None, "high": None}}
    return {"name": name, "label": name, "trained": True, "means": means, "shares": {}, "all": None, **changes}


RESULT: dict[str, Any] = {
    "several": {
        "scores": {
            "politeness": {"lower_is_better": False, "low": 0.0, "high": 1.0},
            "length": {"lower_is_better": True, "low": 0.0, "high": 32.0},
        },
        "arms": [
            arm("base", 0.4, 20.0, trained=False),
            arm("best", 0.9, 12.0, shares={"politeness": UP, "length": UP}, all=UP),
            arm("length=best", 0.5, 5.25, shares={"length": UP}, all=UP),
        ],
        "front": ["best", "length=best"],
        "hypervolume": UP,
        "parts": [
            {"name": "politeness", "ranks": [1.0, 0.5], "moves": {"politeness": UP, "length": None}},
            {"name": "length", "ranks": [None], "moves": {"politeness": UP | {"low": -0.1}, "length": UP}},
        ],
    },
    "part_discrimination": {
        "politeness": {"politeness": UP, "length": NONE},
        "length": {"politeness": UP, "length": UP},
    },
}


def cells(table: Any) -> list[list[str]]:
    return [[cell.value for cell in row] for row in table.rows()]


def test_the_table_has_what_each_arm_reaches() -> None:
    table = reached_table(RESULT)
    assert table is not None

    assert [column.heading for column in table.columns] == [
        *("", "politeness ↑", "length ↓", "reach politeness", "reach length", "reach all", "front"),
    ]
    share = "0.500 [0.250, 0.750]"
    assert cells(table) == [
        ["base", "0.400 [0.250, 0.750]", "20.0", "", "", "", ""],
        ["best", "0.900 [0.250, 0.750]", "12.0", share, share, share, "yes"],
        ["length=best", "0.500 [0.250, 0.750]", "5.2", "", share, share, "yes"],
    ]


def test_the_matrix_says_what_moves_and_whether_it_is_better() -> None:
    table = cross_talk_table(RESULT)
    assert table is not None
    rows = list(table.rows())

    assert cells(table) == [
        ["politeness", "+0.500 [+0.250, +0.750]", "", "1.00, 0.50"],
        ["length", "+0.500 [-0.100, +0.750]", "+0.5 [+0.2, +0.8]", "n/a"],
    ]
    assert [rows[0][1].verdict, rows[1][1].verdict, rows[1][2].verdict] == ["better", "", "better"]


def test_single_parts_are_told_apart_on_held_out_rows() -> None:
    table = separation_table(RESULT)
    assert table is not None

    assert cells(table)[0] == ["politeness", "0.500 [0.250, 0.750]", "n/a"]
    assert [section.title for section in separation_section(RESULT)] == ["Goal discrimination of single parts"]


def test_sections_have_the_front_and_the_hypervolume() -> None:
    several, interaction = several_sections(RESULT)

    assert [picture.name for picture in several.pictures] == ["front-0"]
    assert "Hypervolume of the trained model's arms: 0.500 [0.250, 0.750]" in several.notes[1]
    assert interaction.title == "How the parts of the goal interact"


def test_nothing_is_said_where_rows_have_one_score() -> None:
    assert [*several_sections({}), *separation_section({})] == []
    assert reached_table({}) is cross_talk_table({}) is separation_table({}) is None


def test_better_grades_are_up_and_right() -> None:
    figure = plots.front_figure(RESULT["several"], "politeness", "length")
    axes = figure.axes[0]

    assert not axes.xaxis.get_inverted()
    assert axes.yaxis.get_inverted()
    assert axes.lines[0].get_xydata().tolist() == [[0.5, 5.25], [0.9, 12.0]]  # type: ignore[union-attr]
    assert "length" in plots.svg(figure)
