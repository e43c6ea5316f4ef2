"""Plain supervised fine-tuning, without goals: on all graded rows, or on the better ones.

Scores 0.1, 0.9, 0.5, 0.9 of the prompts a, a, b, b: the top half are rows 1 and 3, and so is the best of each prompt.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.methods.base import ExampleInputs, Method, TrainerInputs

if TYPE_CHECKING:
    from gcsl_cli.data.records import FeedbackRows
    from gcsl_cli.goals.scale import Scale
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.training.examples import RowExamples
    from gcsl_cli.training.loop import MakeTrainer
    from gcsl_cli.training.plan import Plan

log = logging.getLogger("gcsl")


class Selection(StrEnum):
    """Which graded rows are trained on."""

    all = "all"
    top_fraction = "top_fraction"
    min_score = "min_score"
    best_per_prompt = "best_per_prompt"
    top_in_each = "top_in_each"


@dataclass
class Supervised(Method):
    """Methods that train on rows through TRL's SFTTrainer."""

    plans_batches: ClassVar[bool] = True

    def examples(self, inputs: ExampleInputs) -> "RowExamples":
        """One example per row."""
        from gcsl_cli.training.examples import RowExamples

        return RowExamples(inputs.rows, inputs.prompter, inputs.max_length)

    def trainer(self, inputs: TrainerInputs) -> "MakeTrainer":
        """TRL's SFTTrainer."""
        from gcsl_cli.training.sft import sft_trainer

        return sft_trainer(
            inputs.model,
            inputs.tokenizer,
            inputs.train,
            inputs.validation,
            inputs.peft_config,
            inputs.control_token_learning_rate,
            inputs.negative_loss,
        )


@dataclass
class SFT(Supervised):
    """Supervised fine-tuning on selected rows, without goals."""

    name: str = "sft"
    select: Selection = Selection.all
    top_fraction: float = 0.2
    min_score: float | None = None

    def training_rows(self, rows: "FeedbackRows", scale: "Scale") -> "FeedbackRows":
        """The selected rows; `min_score` is a grade."""
        if self.select == Selection.all:
            return rows
        if self.select == Selection.top_in_each:
            taken = good_in_all([rows.part(name) for name in rows.score_names], self.top_fraction)
        else:
            least = None if self.min_score is None else scale.score(self.min_score)
            taken = select_rows(
                rows.scores, rows.prompts, select=self.select, top_fraction=self.top_fraction, min_score=least
            )
        log.info("%d of %d training rows are selected (method.select=%s)", len(taken), len(rows), self.select)
        return rows.take(taken)

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for a share or a minimum that cannot be used."""
        yield from ranges.choice("method.select", self.select, Selection)
        if not 0 < self.top_fraction <= 1:
            yield f"method.top_fraction={self.top_fraction}: must be above 0 and at most 1. 0.2 takes the best fifth."
        if self.select == Selection.min_score and (self.min_score is None or not math.isfinite(self.min_score)):
            yield f"method.min_score={self.min_score}: method.select=min_score needs the lowest grade to keep."

    def label(self, formulation: str, wording: str) -> str:
        """`sft all`, `sft top_fraction 0.2`."""
        return f"{self.name} {self.select}" + ("" if self._amount is None else f" {self._amount:g}")

    def keys(self) -> dict[str, Any]:
        """The selection and the number that it uses."""
        unused = ("top_fraction", "min_score")
        return {key: value for key, value in super().keys().items() if key not in unused} | {"by": self._amount}

    def facts(self, spec: "GoalSpec") -> dict[str, Any]:
        """The selection."""
        return {"method": self.name, "rows": self.select}

    def describe(self, examples: "RowExamples", spec: "GoalSpec", plan: "Plan") -> Iterator[list[str]]:
        """Say that there is no goal."""
        yield ["goal", "none: plain fine-tuning"]

    @property
    def _amount(self) -> float | None:
        shares = dict.fromkeys((Selection.top_fraction, Selection.top_in_each), self.top_fraction)
        return {**shares, Selection.min_score: self.min_score}.get(self.select)


def good_in_all(scores: Sequence[Floats], top_fraction: float) -> Ints:
    """Indices of the rows, ascending, that are among the best share in every score; NaN, not graded, never is.

    `scores` are `(rows,)` each. Ties with the last row of a share are part of it.

    Raises:
        ConfigError: rows have a single score.
        DataError: no row is left.
    """
    if not scores:
        raise ConfigError("method.select=top_in_each: rows have one score. Use method.select=top_fraction.")
    good = np.ones(len(scores[0]), dtype=np.bool_)
    for values in scores:
        known = np.sort(values[~np.isnan(values)])
        good &= values >= known[-max(1, round(top_fraction * len(known)))] if len(known) else False
    if not good.any():
        raise DataError(
            f"method.select=top_in_each: no row is among the best {top_fraction:g} in every score. Raise "
            "method.top_fraction."
        )
    return np.flatnonzero(good).astype(np.int64)


def select_rows(
    scores: Floats, prompts: Ints, *, select: Selection, top_fraction: float, min_score: float | None
) -> Ints:
    """Indices of the selected rows, ascending.

    `all` takes every row; `top_fraction` the best share of the rows, and ties with the last of them; `min_score` the
    rows with at least this score; `best_per_prompt` the best row of each prompt, the first of equal ones.

    Raises:
        DataError: no row is left.
    """
    if select == Selection.top_fraction:
        count = max(1, round(top_fraction * len(scores)))
        taken = np.flatnonzero(scores >= np.sort(scores)[-count])
    elif select == Selection.min_score:
        taken = np.flatnonzero(scores >= (-np.inf if min_score is None else min_score))
    elif select == Selection.best_per_prompt:
        # By prompt, the best score first, of equal ones the first row.
        order = np.lexsort((np.arange(len(scores)), -scores, prompts))
        taken = np.sort(order[np.r_[True, np.diff(prompts[order]) != 0]])
    else:
        taken = np.arange(len(scores))
    if not len(taken):
        raise DataError(f"No row has a score of {min_score:g} or more; the best is {scores.max():g}.")
    return taken.astype(np.int64)
