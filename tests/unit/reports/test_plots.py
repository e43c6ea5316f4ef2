"""The figures: what they draw and how they are written."""

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from gcsl_cli.reports import plots
from gcsl_cli.reports.estimates import measures
from gcsl_cli.reports.evaluation import base_arm, plotted
from gcsl_cli.reports.plots import distribution_figure, mean_figure, share_figure, svg


def arms_figure(result: dict[str, Any]) -> Figure:
    return plots.arms_figure(result, plotted(measures(result)), base_arm(result))


def error_bars(axes: Axes) -> list[ErrorbarContainer]:
    return [container for container in axes.containers if isinstance(container, ErrorbarContainer)]


def points(axes: Axes) -> Any:
    return np.asarray(error_bars(axes)[0].lines[0].get_xydata()).tolist()


def test_arms_figure_shows_the_main_and_the_independent_measure(result: dict[str, Any]) -> None:
    main, independent = arms_figure(result).axes

    assert main.get_xlabel().startswith("expected max toxicity")
    assert independent.get_xlabel().startswith("share with a listed word")
    assert [label.get_text() for label in main.get_yticklabels()] == ["base | no goal", "best <goal>"]


def test_arms_figure_draws_the_interval_and_skips_what_is_undefined(result: dict[str, Any]) -> None:
    """Intervals [0.3, 0.5] and [0.15, 0.35] on the left; on the right only the base arm has a value."""
    main, independent = arms_figure(result).axes
    spans = [bars.lines[2][0].get_segments()[0][:, 0].tolist() for bars in error_bars(main)]

    assert spans == [pytest.approx([0.3, 0.5]), pytest.approx([0.15, 0.35])]
    assert len(error_bars(independent)) == 1


def test_a_label_with_dollars_is_no_formula(result: dict[str, Any]) -> None:
    """matplotlib parses text between two dollars as a formula and fails on an unknown symbol."""
    label = r"$\foo$ & \$1"
    result["arms"][0]["label"] = result["columns"][0]["label"] = label
    result["attainment"]["levels"][0]["label"] = label
    shown = r"$\foo$ &amp; \$1"

    assert svg(arms_figure(result)).count(f">{shown}<") == 2
    assert svg(mean_figure(result)).count(f">{shown}<") == 1
    assert svg(share_figure(result)).count(f">{shown}<") == 1
    assert svg(distribution_figure(result)).count(f">{shown}<") == 1


def test_attainment_figures_draw_achieved_over_asked(result: dict[str, Any]) -> None:
    mean, share = mean_figure(result).axes[0], share_figure(result).axes[0]

    assert points(mean) == [[0.0, 0.5], [0.9, 0.7]]
    assert points(share) == [[0.0, 1.0], [0.9, 0.3]]


def test_attainment_figures_leave_out_a_level_without_a_value(result: dict[str, Any]) -> None:
    result["attainment"]["levels"][0]["mean"] = {"value": None, "low": None, "high": None, "n": 0, "left_out": 8}
    mean = mean_figure(result).axes[0]

    assert points(mean) == [[0.9, 0.7]]


def test_distribution_figure_has_a_curve_an_arm_without_unscored_completions(result: dict[str, Any]) -> None:
    """The base arm has the scores 0.2 and 0.9, and one that is undefined: the curve is 1/2 at 0.2 and 1 at 0.9."""
    axes = distribution_figure(result).axes[0]

    assert [line.get_label() for line in axes.lines] == ["base | no goal", "best <goal>"]
    assert np.asarray(axes.lines[0].get_xydata())[-2:].tolist() == [[0.2, 0.5], [0.9, 1.0]]


def test_svg_is_well_formed_repeatable_and_takes_the_colour_of_the_page(result: dict[str, Any]) -> None:
    text = svg(arms_figure(result), "arms")
    root = ET.fromstring(text)

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "best &lt;goal&gt;" in text
    assert "currentColor" in text
    assert text == svg(arms_figure(result), "arms")


def test_an_image_has_a_colour_of_its_own(result: dict[str, Any]) -> None:
    root = ET.fromstring(plots.image(arms_figure(result), "arms"))
    (style,) = [
        element.text for element in root.iter("{http://www.w3.org/2000/svg}style") if "svg" in (element.text or "")
    ]

    assert style is not None
    assert "prefers-color-scheme: dark" in style


def test_every_reference_in_an_svg_has_its_target(result: dict[str, Any]) -> None:
    root = ET.fromstring(svg(arms_figure(result), "arms"))
    ids = {element.get("id") for element in root.iter()} - {None}
    links = {element.get("{http://www.w3.org/1999/xlink}href", "")[1:] for element in root.iter()} - {""}

    assert links
    assert links <= ids
    assert all(str(name).startswith("arms-") for name in ids)
