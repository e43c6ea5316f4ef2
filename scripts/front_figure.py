"""Draw the fronts of a comparison into docs/results/several.svg, which docs/several_goals.md shows.

gcsl compare RUN ... --json > compare.json; python scripts/front_figure.py compare.json
"""

import json
import sys
from pathlib import Path

from gcsl_cli.reports.plots import fronts_figure, image


def main() -> None:
    fronts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["fronts"]
    first, second = list(fronts[0]["scores"])[:2]
    drawn = image(fronts_figure(fronts, first, second), "fronts")
    Path("docs/results/several.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
