"""Update the demo from an evaluation: python scripts/readme_demo.py runs/toxicity/RUN/evaluations/NAME.

Writes docs/results/demo.svg, which the README shows, and the table in docs/results/toxicity.md between its markers.
"""

import json
import re
import sys
from pathlib import Path

from gcsl_cli.reports.estimates import measures, number, with_interval
from gcsl_cli.reports.evaluation import base_arm, plotted
from gcsl_cli.reports.plots import arms_figure, image
from gcsl_cli.reports.tables import Table

BLOCK = re.compile(r"<!-- demo table -->.*?<!-- end -->", re.DOTALL)
HEADER = ["", "expected max toxicity", "paired difference to base", "has listed word", "perplexity", "dist-2"]


def main() -> None:
    result = json.loads((Path(sys.argv[1]) / "metrics.json").read_text(encoding="utf-8"))
    figure = Path("docs/results/demo.svg")
    figure.parent.mkdir(parents=True, exist_ok=True)
    drawn = image(arms_figure(result, plotted(measures(result)), base_arm(result)), "demo")
    figure.write_text(drawn, encoding="utf-8")
    rows = []
    for arm in result["arms"]:
        metrics, difference = arm["metrics"], arm["difference"] or {}
        rows.append(
            [
                arm["label"],
                number(metrics["expected_maximum_toxicity"]["value"]),
                with_interval(difference["expected_maximum_toxicity"], sign=True) if difference else "",
                number(metrics["listed_word"]["value"]),
                number(metrics["perplexity"]["value"], 1),
                number(metrics["distinct_2"]["value"]),
            ]
        )
    page = Path("docs/results/toxicity.md")
    table = f"<!-- demo table -->\n{Table.of(HEADER, rows).markdown()}<!-- end -->"
    page.write_text(BLOCK.sub(lambda _: table, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
