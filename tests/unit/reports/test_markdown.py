"""report.md as a whole, against tests/unit/reports/report.md, and without its optional parts."""

from pathlib import Path
from typing import Any

from gcsl_cli.reports.markdown import report_markdown


def test_report(result: dict[str, Any]) -> None:
    assert report_markdown(result) == (Path(__file__).parent / "report.md").read_text(encoding="utf-8")


def test_a_report_without_optional_parts_leaves_their_headings_out(result: dict[str, Any]) -> None:
    result |= {"attainment": None, "discrimination": None, "distributions": {}, "examples": []}
    report = report_markdown(result)

    assert "Goal attainment" not in report
    assert "Goal discrimination" not in report
    assert "## Results" in report


def test_without_an_independent_measure_the_reader_is_warned(result: dict[str, Any]) -> None:
    result["columns"] = result["columns"][:1]

    assert "read it together with the measures that do not use that scorer" in report_markdown(result)


def test_an_independent_main_measure_needs_no_warning(result: dict[str, Any]) -> None:
    result["columns"][0]["independent"] = True

    assert "graded the training data" not in report_markdown(result)
