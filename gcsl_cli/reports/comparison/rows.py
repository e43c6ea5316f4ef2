"""Rows of a comparison: one arm of a training, over all its seeds.

The untouched base model is one row without seeds, and so is a reference that needs no model. A trained run contributes
the arms that ask for the best goal, or for none if the method has no goals. Lower goals count towards goal attainment.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.reports.comparison.runs import Evaluation, Run
from gcsl_cli.runs.folders import flatten

BASE = "base"
OF_ALL = ("base model", "evaluation prompts", "sampling", "measures", "version")
"""What the row of the base model, which is not trained, must share with others to be comparable."""
REASONS = {
    "feedback": "trained on different feedback",
    "base model": "different base model",
    "budget": "different budget",
    "evaluation prompts": "evaluated on different prompts",
    "sampling": "sampled with different settings",
    "measures": "measured by different scorers",
    "version": "made by a different version of gcsl",
}


@dataclass(frozen=True)
class Wanted:
    """Which evaluations and arms become rows. None: every guidance weight, and the sampling that most runs share."""

    guidance: frozenset[float] | None = None
    sampling: frozenset[str] | None = None
    """Values of `Evaluation.sampling`; each gets a separate row."""


@dataclass
class Row:
    """One line of the table before anything is computed; lists have one entry per seed."""

    label: str
    keys: Mapping[str, Any]
    """What was trained, without the seed; empty for the base model."""
    arm: str
    guidance: float
    compared_by: Mapping[str, str]
    seeds: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    values: list[Mapping[str, PerPrompt]] = field(default_factory=list)

    @property
    def round(self) -> int:
        """The round of feedback that was trained on."""
        return int(self.keys.get("round", {}).get("number", 1))

    @property
    def chain(self) -> str:
        """What the rounds of one chain have in common."""
        return repr({name: value for name, value in self.keys.items() if name != "round"})

    @property
    def trained(self) -> bool:
        """False for the base model and for references."""
        return bool(self.keys)

    def reasons_against(self, other: "Row") -> list[str]:
        """Reasons why the row is not comparable with `other`; empty if it is."""
        names = REASONS if self.trained and other.trained else OF_ALL
        return [REASONS[name] for name in names if self.compared_by.get(name) != other.compared_by.get(name)]


def make_rows(runs: Sequence[Run], wanted: Wanted | None = None) -> tuple[list[Row], list[str]]:
    """Return the rows of all runs, the base model first, and a line for each run whose seed a row already has.

    Rows of the same training are adjacent, in ascending order of rounds and of guidance weight.
    """
    wanted = wanted or Wanted()
    protocols = Counter(evaluation.protocol for run in runs for evaluation in run.evaluations)
    rows: dict[Any, Row] = {}
    problems: list[str] = []
    for run in runs:
        for evaluation, arm in _arms(run, protocols, wanted):
            key, row = _row(run, evaluation, arm)
            row = rows.setdefault(key, row)
            if arm["trained"] and run.seed in row.seeds:
                first = row.runs[row.seeds.index(run.seed)].path
                problems.append(f"{run.path}: seed {run.seed} of {row.label} is already in {first}.")
                continue
            if not arm["trained"] and row.values:
                continue
            row.seeds += [run.seed] if arm["trained"] else []
            row.runs.append(run)
            row.evaluations.append(evaluation)
            row.values.append(evaluation.values()[arm["name"]])
    trainings = list(dict.fromkeys(row.chain for row in rows.values()))
    ordered = sorted(
        rows.values(),
        key=lambda row: (row.trained, trainings.index(row.chain), row.round, repr(row.keys), row.guidance),
    )
    _distinguish(ordered)
    for row in ordered:
        by_seed = sorted(range(len(row.seeds)), key=row.seeds.__getitem__)
        for name in ("seeds", "runs", "evaluations", "values") if row.seeds else ():
            setattr(row, name, [getattr(row, name)[place] for place in by_seed])
    return ordered, problems


def _arms(
    run: Run, protocols: Mapping[tuple[str, ...], int], wanted: Wanted
) -> Iterator[tuple[Evaluation, Mapping[str, Any]]]:
    """Arms of a run that are rows, each from the evaluation whose protocol most runs share, then from the newest."""
    seen = set()
    for evaluation in sorted(run.evaluations, key=lambda evaluation: -protocols[evaluation.protocol]):
        if wanted.sampling is not None and evaluation.sampling not in wanted.sampling:
            continue
        for arm in evaluation.result["arms"]:
            key = (arm["name"], evaluation.sampling if wanted.sampling else None)
            if _is_row(arm, wanted) and key not in seen:
                seen.add(key)
                yield evaluation, arm


def _is_row(arm: Mapping[str, Any], wanted: Wanted) -> bool:
    if not arm["trained"]:
        return bool(arm["name"] == BASE or arm.get("reference"))
    asked = wanted.guidance is None or arm["guidance"] in wanted.guidance
    return asked and bool(arm["best"] or arm["goal"] is None)


def _row(run: Run, evaluation: Evaluation, arm: Mapping[str, Any]) -> tuple[Any, Row]:
    shared = dict(evaluation.result["compared_by"])
    if not arm["trained"]:
        shared = {name: shared[name] for name in OF_ALL}
        label = arm["label"] if arm.get("reference") else BASE
        return (arm["name"], *sorted(shared.items())), Row(label, {}, arm["name"], 0.0, shared)
    label = str(run.keys["method"]["label"]) + (", best over worst" if arm.get("ratio") else "")
    label += f", round {run.keys['round']['number']}" if "round" in run.keys else ""
    if arm["guidance"]:
        # Guidance may contrast with another goal than the worst, `best-w2-none`, or have weights, `best-w-length=2`.
        weight, _, other = arm["name"].partition("-w")[2].partition("-")
        against = f"{arm['guidance']:g} against {other}" if other else f"{arm['guidance']:g}"
        label += f", guidance {against if weight else other}"
    key = (repr(sorted(flatten(run.keys).items())), arm["name"], *sorted(shared.items()))
    return key, Row(label, run.keys, arm["name"], float(arm["guidance"]), shared)


def _distinguish(rows: Sequence[Row]) -> None:
    """Append what differs to equal labels: settings of training first, then the data and the evaluation.

    Of settings that tell the rows apart equally well, one that every row sets comes first: it says more than `null`.
    """
    for label, count in Counter(row.label for row in rows).items():
        if count == 1:
            continue
        same = [row for row in rows if row.label == label]
        flat = [flatten(row.keys) | dict(row.compared_by) | row.evaluations[0].settings for row in same]
        names: list[str] = []
        found = dict.fromkeys(name for keys in flat for name in keys if name != "sampling")
        for name in sorted(found, key=lambda name: any(keys.get(name) is None for keys in flat)):
            if _kinds(flat, [*names, name]) > _kinds(flat, names):
                names.append(name)
        for row, keys in zip(same, flat, strict=True):
            row.label += f" ({', '.join(f'{name}={keys.get(name)}' for name in names)})"


def _kinds(flat: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int:
    return len({repr([keys.get(name) for name in names]) for keys in flat})
