"""The documentation site: its navigation names every page, links of pages resolve in it."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts/docs_site.py")))
PLACES = {"index.md", "contributing.md", "goals.md", "results/demo.svg", "tasks/code.md"}


def pages(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in pages(inner)]


def test_the_navigation_names_every_page_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = pages(nav)

    assert set(named) - SCRIPT.OPTIONAL == (docs | set(SCRIPT.PAGES)) - SCRIPT.OPTIONAL
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("index.md", "[goals](docs/goals.md#levels)", "[goals](goals.md#levels)"),
        ("index.md", "[a task](CONTRIBUTING.md#a-task)", "[a task](contributing.md#a-task)"),
        ("index.md", "![plot](docs/results/demo.svg)", "![plot](results/demo.svg)"),
        ("tasks/code.md", "[goals](../goals.md)", "[goals](../goals.md)"),
        ("tasks/code.md", "[how](../../CONTRIBUTING.md)", "[how](../contributing.md)"),
        ("goals.md", "[code](https://a.b/c.py)", "[code](https://a.b/c.py)"),
        ("goals.md", "[above](#levels)", "[above](#levels)"),
        ("goals.md", "[conf/goal](../conf/goal)", "`conf/goal`"),
        ("goals.md", "[`base.py`](../gcsl_cli/tasks/base.py)", "`base.py`"),
        ("goals.md", "[the protocol](../gcsl_cli/tasks/base.py)", "the protocol"),
    ],
)
def test_a_link_inside_the_site(source: str, link: str, expected: str) -> None:
    assert SCRIPT.rewritten(SCRIPT.LINK.fullmatch(link), source, PLACES, None) == expected


def test_source_files_are_in_the_repository() -> None:
    match = SCRIPT.LINK.fullmatch("[the protocol](../gcsl_cli/tasks/base.py#L3)")

    made = SCRIPT.rewritten(match, "goals.md", PLACES, "https://host/owner/name/")
    assert made == "[the protocol](https://host/owner/name/blob/main/gcsl_cli/tasks/base.py#L3)"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("```json a/b.json\n{}\n```", '```json title="a/b.json"\n{}\n```'),
        ("```text chat/token\nx\n```", "```text\nx\n```"),
        ("```bash\nls a.b\n```", "```bash\nls a.b\n```"),
    ],
)
def test_the_name_of_an_example_file_is_its_title(block: str, expected: str) -> None:
    assert SCRIPT.titled(block) == expected
