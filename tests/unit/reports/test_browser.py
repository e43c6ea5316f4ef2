"""Both pages in headless Chromium: no console message, nothing cut off, enough contrast in light and in dark mode.

Each page is loaded into a frame as wide as a phone and one as wide as a laptop; measure.js reports what they show.
"""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.reports.comparison.report import comparison_html
from gcsl_cli.reports.evaluation import report_html
from tests.unit.reports.comparison.made import compared

WIDTHS = (400, 1300)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARMS = [
    *("base, no goal", "base, asked for best", "base, asked, guidance 4"),
    *("trained, worst goal", "trained, best goal", "trained, best goal, guidance 4"),
]
SCRIPT = Path(__file__).with_name("measure.js").read_text(encoding="utf-8")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--dump-dom")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium in PATH: apt-get install chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", ["evaluation", "comparison"])
def test_a_page_is_legible(kind: str, dark: bool, result: dict[str, Any], tmp_path: Path) -> None:
    result["arms"] = [{**result["arms"][place > 0], "label": label} for place, label in enumerate(ARMS)]
    page = report_html(result | {"unmask": True}) if kind == "evaluation" else comparison_html(compared(tmp_path))
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{escape(page)}"></iframe>' for width in WIDTHS)
    harness = tmp_path / "harness.html"
    harness.write_text(f"<!doctype html><title></title><script>{SCRIPT}</script>{frames}", encoding="utf-8")
    phone, laptop = opened(harness, dark=dark)

    assert phone["texts"] == laptop["texts"] > 50
    for found, width in ((phone, WIDTHS[0]), (laptop, WIDTHS[1])):
        assert (found["width"], found["dark"]) == (width, dark)
        assert found["page"] <= width
        assert (found["outside"], found["faint"], found["small"]) == ([], [], [])
    assert laptop["scrolling"] == []


def opened(path: Path, *, dark: bool) -> list[dict[str, Any]]:
    """Open a file and return what its script measured; the console must stay empty."""
    assert CHROMIUM is not None
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, *FLAGS, scheme, f"--user-data-dir={path.parent / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if ":CONSOLE" in line] == []
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title is not None
    measured: list[dict[str, Any]] = json.loads(unescape(title[1]))
    return measured
