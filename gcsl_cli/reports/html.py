"""report.html: one self-contained page (style and figures inside, no scripts), for a phone and for dark mode too.

Every text that comes from outside is escaped. Completions stand behind a click and are masked unless the result says
`unmask`: what the page hides is not in its source either.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.content import (
    LIKELIHOODS_EXPLAINED,
    Column,
    Result,
    attainment_note,
    attainment_rows,
    base_arm,
    columns,
    discrimination_rows,
    fact_rows,
    how_to_read,
    left_out_notes,
    likelihood_heading,
    likelihood_rows,
)
from gcsl_cli.reports.estimates import number, verdict, with_interval

MASK = "•"


def report_html(result: Result) -> str:
    """The whole page."""
    style = files("gcsl_cli.reports").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(f"Evaluation: {result['task']}")
    sections = [
        f"<h1>{title}</h1>\n<pre><code>{escape(result['command'])}</code></pre>",
        _results(result),
        _distributions(result),
        _attainment(result),
        _discrimination(result),
        _likelihoods(result),
        _examples(result),
        f"<h2>What was run</h2>\n{_facts(result)}",
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def mask(text: str) -> str:
    """The text with only the first letter of each word in clear."""
    return "".join(
        character if character.isspace() or start else MASK
        for character, start in zip(text, _word_starts(text), strict=True)
    )


def _word_starts(text: str) -> Iterable[bool]:
    return (index == 0 or text[index - 1].isspace() for index in range(len(text)))


def _results(result: Result) -> str:
    if not result["arms"]:
        return f"<p>{escape(how_to_read(result))}</p>"
    base = base_arm(result)
    rows = [
        f'<tr><th scope="row">{_heading(column)}</th>{"".join(_value(arm, column) for arm in result["arms"])}</tr>'
        for column in columns(result)
    ]
    dots, caption = "Each arm with its 95 % interval", "95 % interval in brackets"
    if base is not None:
        dots += f"; dashed: {base['label']}"
        caption += f"; below it the paired difference to {base['label']}"
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in left_out_notes(result))
    asked = [arm for arm in result["arms"] if arm["asked"]]
    sentences = "".join(f"<dt>{escape(arm['label'])}</dt><dd>{escape(str(arm['asked']))}</dd>" for arm in asked)
    return (
        "<h2>Results</h2>\n"
        + plots.html_figure(plots.arms_figure(result), "arms", f"{dots}.")
        + _table(["", *(arm["label"] for arm in result["arms"])], rows)
        + f'<p class="note">{escape(caption)}.</p>{notes}\n<p>{escape(how_to_read(result))}</p>'
        + (f'\n<h2>What the model was asked</h2>\n<dl class="asked">{sentences}</dl>' if asked else "")
    )


def _heading(column: Column) -> str:
    direction = f' <span class="interval">{escape(column.better)} is better</span>' if column.better else ""
    return escape(column.label) + direction


def _value(arm: Mapping[str, Any], column: Column) -> str:
    value, _, rest = with_interval(arm["metrics"].get(column.name), column.digits).partition(" ")
    cell = value + (f' <span class="interval">{rest}</span>' if rest else "")
    difference = (arm.get("difference") or {}).get(column.name)
    if difference is not None:
        word = verdict(difference, column.better)
        change = f"{number(difference['value'], column.digits, sign=True)} {word}".rstrip()
        cell += f' <span class="difference {word}">{change}</span>'
    return f"<td>{cell}</td>"


def _distributions(result: Result) -> str:
    if not any((result.get("distributions") or {}).values()):
        return ""
    caption = "Share of completions that score at most x: the lower the curve, the better the arm."
    return "<h2>Score distributions</h2>\n" + plots.html_figure(
        plots.distribution_figure(result), "distributions", caption
    )


def _attainment(result: Result) -> str:
    attainment = result.get("attainment")
    if not attainment:
        return ""
    rows = [_level_row(row) for row in attainment_rows(result)]
    text = (
        f"Rank correlation of asked and achieved: {number(attainment['spearman_levels'], 2)} over level means, "
        f"{number(attainment['spearman_completions'], 2)} over completions. {attainment_note(result)}"
    )
    return (
        "<h2>Goal attainment</h2>\n"
        + plots.html_figure(
            plots.attainment_figure(result), "attainment", "What is achieved when a level is asked for."
        )
        + _table(["asked level", "share that reaches it", "mean score"], rows)
        + f"<p>{escape(text.rstrip())}</p>"
    )


def _discrimination(result: Result) -> str:
    rows = [
        f'<tr><th scope="row">{escape(model)}</th><td>{pooled}</td><td>{within}</td><td>{prompts}</td></tr>'
        for model, pooled, within, prompts in discrimination_rows(result)
    ]
    if not rows:
        return ""
    return (
        "<h2>Goal discrimination</h2>\n<p>How well log p(completion | best goal) − log p(completion | worst goal) "
        "separates good held-out completions from poor ones (AUC; 0.5 is chance).</p>\n"
        + _table(["model", "all rows", "within prompts", "prompts with both"], rows)
    )


def _likelihoods(result: Result) -> str:
    rows = [_level_row(row) for row in likelihood_rows(result)]
    if not rows:
        return ""
    header = ["asked level", *likelihood_heading(result)]
    return f"<h2>Likelihood of held-out completions</h2>\n<p>{escape(LIKELIHOODS_EXPLAINED)}</p>\n" + _table(
        header, rows
    )


def _level_row(row: Sequence[str]) -> str:
    label, asked, *values = (escape(cell) for cell in row)
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr><th scope="row">{label} <span class="asked">{asked}</span></th>{cells}</tr>'


def _examples(result: Result) -> str:
    examples = result.get("examples") or []
    if not examples:
        return ""
    unmask = result.get("unmask", False)
    state = "in clear" if unmask else "masked; evaluation.unmask=true shows them in clear"
    blocks = []
    for arm in result["arms"]:
        found = [example for example in examples if example["arm"] == arm["name"]]
        if found:
            quotes = "".join(_example(example, unmask=unmask) for example in found)
            blocks.append(f"<details><summary>{escape(arm['label'])}: {len(found)}</summary>{quotes}</details>")
    return (
        "<h2>Completions</h2>\n"
        f'<p class="note">Model output, possibly offensive; so are some prompts, which open in clear. '
        f"Completions are {state}.</p>\n" + "\n".join(blocks)
    )


def _example(example: Mapping[str, Any], *, unmask: bool) -> str:
    completion = example["completion"] if unmask else mask(example["completion"])
    return (
        f'<blockquote><span class="prompt">{escape(example["prompt"])}</span>{escape(completion)}'
        f"{_score(example['score'])}</blockquote>"
    )


def _score(score: float | None) -> str:
    return "" if score is None else f' <span class="note">score {number(score)}</span>'


def _facts(result: Result) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in fact_rows(result)) + "</dl>"


def _table(header: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
    )
