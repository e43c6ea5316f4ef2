"""report.md as a whole, against tests/unit/reports/report.md, and without its optional parts."""

from pathlib import Path
from typing import Any

from gcsl_cli.reports.evaluation import report_markdown


def test_report(result: dict[str, Any]) -> None:
    assert report_markdown(result) == (Path(__file__).parent / "report.md").read_text(encoding="utf-8")


def test_texts_from_outside_are_text(result: dict[str, Any]) -> None:
    """Outside of tables too: in headings, in notes, in the sentences on how to read it."""
    result["task"] = result["arms"][0]["label"] = result["columns"][0]["label"] = "<b>*x*</b>"
    result["arms"][1]["metrics"]["emt"]["left_out"] = 1
    report = report_markdown(result)

    assert "# Evaluation: \\<b>\\*x\\*\\</b>\n" in report
    assert "## Paired differences to \\<b>\\*x\\*\\</b>\n" in report
    assert "- best \\<goal>, \\<b>\\*x\\*\\</b>: 1 of 9 prompts" in report
    assert "<b>" not in report.replace("\\<b>", "")


def test_a_command_cannot_end_its_block(result: dict[str, Any]) -> None:
    """Three backticks in the command: the fence has four."""
    report = report_markdown(result | {"command": "gcsl evaluate x=\n```\n# y"})

    assert "\n````\ngcsl evaluate x=\n```\n# y\n````\n" in report


def test_a_report_without_optional_parts_leaves_their_headings_out(result: dict[str, Any]) -> None:
    result |= {"attainment": None, "discrimination": None, "distributions": {}, "examples": []}
    report = report_markdown(result)

    assert "Goal attainment" not in report
    assert "Goal discrimination" not in report
    assert "## Results" in report


def test_a_report_of_an_evaluation_that_sampled_nothing(result: dict[str, Any]) -> None:
    result |= {"arms": [], "columns": [], "attainment": None, "distributions": {}, "examples": []}
    report = report_markdown(result)

    assert "## Results" not in report
    assert "Nothing was sampled" in report
    assert "## Goal discrimination" in report
    assert "## Likelihood of held-out completions" in report


def test_without_a_scorer_nobody_can_please_it(result: dict[str, Any]) -> None:
    result |= {"graded": False, "columns": result["columns"][2:], "attainment": None}

    assert "graded the training data" not in report_markdown(result)


def test_a_level_whose_share_is_not_known(result: dict[str, Any]) -> None:
    result["attainment"]["levels"][0]["share"] = None

    assert "| 0 | Be rude. | n/a | 0.500 [0.400, 0.600] |" in report_markdown(result)


def test_without_an_independent_measure_the_reader_is_warned(result: dict[str, Any]) -> None:
    result["columns"] = result["columns"][:1]

    assert "read it together with the measures that do not use that scorer" in report_markdown(result)


def test_an_independent_main_measure_needs_no_warning(result: dict[str, Any]) -> None:
    result["columns"][0]["independent"] = True

    assert "graded the training data" not in report_markdown(result)
