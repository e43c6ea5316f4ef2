"""report.html of an evaluation: self-contained, escaped, masked."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from gcsl_cli.reports.evaluation import report_html
from gcsl_cli.reports.sections import mask

VOID = {"meta", "br", "img", "link", "hr"}


class Nesting(HTMLParser):
    """Collects the tags that are opened and checks that each is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Nesting:
    parser = Nesting()
    parser.feed(page)
    return parser


def test_tags_nest_and_no_script_or_outside_resource_is_there(result: dict[str, Any]) -> None:
    page = report_html(result | {"unmask": True})
    parser = parsed(page)

    assert parser.open == []
    assert "svg" in parser.seen
    assert not parser.seen & {"script", "link", "iframe", "img"}
    assert not re.search(r"""(?:src|(?<!xlink:)href)\s*=|url\((?!#)|@import""", page)


def test_texts_are_escaped(result: dict[str, Any]) -> None:
    page = report_html(result | {"unmask": True})

    assert " go &lt;script&gt;alert(1)&lt;/script&gt; away" in page
    assert "I &lt;b&gt;said&lt;/b&gt;" in page
    assert "best &lt;goal&gt;" in page
    assert "Be polite &amp; clean." in page


def test_completions_are_masked_by_default_in_the_source_too(result: dict[str, Any]) -> None:
    page = report_html(result)

    assert " g• &lt;•••••••••••••••••••••••• a•••" in page
    assert "alert" not in page
    assert "k•••" in page


def test_ids_are_unique_across_the_figures(result: dict[str, Any]) -> None:
    ids = re.findall(r'\bid="([^"]+)"', report_html(result))

    assert len(ids) == len(set(ids))


def test_differences_carry_their_verdict(result: dict[str, Any]) -> None:
    assert '<span class="difference better">-0.150 better</span>' in report_html(result)


@pytest.mark.parametrize("part", ["attainment", "discrimination", "distributions", "examples"])
def test_optional_parts_may_be_missing(result: dict[str, Any], part: str) -> None:
    whole = report_html(result)
    del result[part]
    page = report_html(result)

    assert parsed(page).open == []
    assert page.count("<h2>") == whole.count("<h2>") - 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("You sh*t head.", "Y•• s••• h••••"), ("  a\nbc ", "  a\nb• "), ("", ""), ("é𝕏 日本語", "é• 日••")],
)
def test_mask_keeps_first_letters_and_whitespace(text: str, expected: str) -> None:
    assert mask(text) == expected


def test_a_page_of_an_evaluation_that_sampled_nothing(result: dict[str, Any]) -> None:
    result |= {"arms": [], "columns": [], "attainment": None, "distributions": {}, "examples": []}
    page = report_html(result)

    assert "Nothing was sampled" in page
    assert "<svg" not in page
    assert "Be &lt;polite&gt;." in page


def test_unknown_values_have_no_number(result: dict[str, Any]) -> None:
    result["attainment"]["levels"][0]["share"] = None
    page = report_html(result)

    assert "score n/a" not in page
    assert "<td>n/a</td>" in page
