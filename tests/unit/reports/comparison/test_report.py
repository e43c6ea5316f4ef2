"""The tables and the page of a comparison, on runs with given numbers."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gcsl_cli.reports.comparison.report import (
    comparison_csv,
    comparison_html,
    comparison_latex,
    comparison_markdown,
    signs,
    terminal_tables,
)
from tests.unit.reports.comparison.made import compared


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    return compared(tmp_path)


def test_the_terminal_shows_values_and_differences(result: dict[str, Any]) -> None:
    console = Console(width=220, file=io.StringIO(), record=True)
    for table in terminal_tables(result):
        console.print(table)
    text = console.export_text()

    assert "0.150 ±0.050" in text
    assert "threshold-language, guidance 2" in text
    assert "-0.150 [-0.200, -0.100] 2/2" in text
    assert "[a] different budget than threshold-language" in text
    assert "different seeds than threshold-language" in text
    assert "empty" not in text


def test_markdown_names_command_commit_seeds_and_budget(result: dict[str, Any]) -> None:
    text = comparison_markdown(result)

    assert "gcsl compare task=toxicity" in text
    assert "Evaluated at commit 1a2b3c4; seeds 0, 1." in text
    assert "Budget per run: 100 tokens; 7 tokens & more." in text
    assert "| base |" in text
    assert "-0.150 [-0.200, -0.100] 2/2 **better**" in text
    assert "## Left out\n\n- runs/\\<x>: half done.\n" in text
    lines = [line for line in text.splitlines() if line.startswith("| sft")]
    assert lines[0].startswith("| sft top\\_fraction 0.2 [a, b] |") or lines[0].startswith(
        "| sft top_fraction 0.2 [a, b] |"
    )


def test_csv_has_every_measure_of_every_row(result: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(result))))
    guided = next(r for r in rows if r["row"] == "threshold-language, guidance 2" and r["measure"] == "toxicity")

    assert {row["measure"] for row in rows if row["row"] == "base"} == {"toxicity", "perplexity", "distinct_2", "empty"}
    assert (guided["seeds"], guided["same_sign"]) == ("0 1", "True")
    assert float(guided["difference"]) == pytest.approx(-0.15)


def test_latex_is_a_tabular_with_its_markup_escaped(result: dict[str, Any]) -> None:
    text = comparison_latex(result)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]

    assert r"\begin{tabular}{l" in text
    assert len(rows) == 5
    assert len({line.count(" & ") for line in rows}) == 1
    assert any(line.startswith(r"sft top\_fraction 0.2 [a, b] & ") for line in rows)
    assert r"0.150 $\pm$0.050" in text


def test_the_page_has_tables_and_four_figures_and_escapes(result: dict[str, Any]) -> None:
    page = comparison_html(result)

    assert page.count("<svg ") == 4
    assert "runs/&lt;x&gt;: half done." in page
    assert "-0.150 [-0.200, -0.100] 2/2 better" in re.sub("<[^>]*>", "", page)
    assert "<script" not in page
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_without_differences_and_curves_there_are_fewer_sections(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        row |= {"difference": None, "attainment": None}
    page = comparison_html(result | {"left_out": []})

    assert page.count("<svg ") == 3
    assert "Paired differences" not in page
    assert len(terminal_tables(result)) == 1


def test_seeds_without_a_value_have_no_sign() -> None:
    assert signs({"value": -0.1, "per_seed": [-0.1, 0.2, None]}) == "1/2"
    assert signs({"value": None, "per_seed": [None]}) == "0/0"
