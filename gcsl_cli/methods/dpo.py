"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) on pairs of graded completions of one prompt.

A prompt with the scores 0.1, 0.9 and 0.5: `best_worst` prefers row 1 to row 0, `adjacent` row 1 to row 2 and row 2 to
row 0, `all` makes all three pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import PREFERENCE_PAIRS, FeedbackRows, write_columns
from gcsl_cli.errors import DataError
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.methods.base import ExampleInputs, Method, TrainerInputs
from gcsl_cli.methods.preference import preference_trainer
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.examples import lazy_dataset
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from datasets import Dataset

    from gcsl_cli.training.loop import MakeTrainer


class PairRule(StrEnum):
    """Which completions of a prompt are compared."""

    best_worst = "best_worst"
    all = "all"
    adjacent = "adjacent"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Row indices; the first row of a pair is preferred to the second. Two arrays `(pairs,)`, ordered by prompt."""

    chosen: Ints
    rejected: Ints

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True)
class PairExamples:
    """Pairs of completions of one prompt."""

    feedback: FeedbackRows
    pairs: Pairs
    prompter: Prompter
    max_length: int | None

    def __len__(self) -> int:
        return len(self.pairs)

    def encode(self, index: Ints, goals: Floats, missed: Floats) -> list[tuple[EncodedRow, ...]]:
        """Two rows per example, the chosen one first; a pair has no goal."""
        places = np.concatenate([self.pairs.chosen[index], self.pairs.rejected[index]])
        rows = self.prompter.rows(list(self.feedback.take(places)), [None] * len(places), self.max_length)
        return list(zip(rows[: len(index)], rows[len(index) :], strict=True))

    def prompt(self, index: int) -> str:
        """The prompt of a pair."""
        return self.feedback[int(self.pairs.chosen[index])].prompt

    def roles(self, index: int) -> tuple[str, ...]:
        """Chosen and rejected."""
        return ("chosen", "rejected")

    def planned(self, plan: Plan, share: float | None = None) -> "Dataset":
        """The plan's pairs for TRL's DPOTrainer: `prompt_ids`, `chosen_ids`, `rejected_ids`."""

        def columns(places: Ints) -> dict[str, Any]:
            pairs = self.encode(plan.row[places], plan.goal[places], plan.missed[places])
            return {
                "prompt_ids": [chosen.prompt_ids for chosen, _ in pairs],
                "chosen_ids": [chosen.completion_ids for chosen, _ in pairs],
                "rejected_ids": [rejected.completion_ids for _, rejected in pairs],
            }

        return lazy_dataset(plan, columns)


@dataclass
class DPO(Method):
    """TRL's DPOTrainer with its default sigmoid loss."""

    name: str = "dpo"
    pairs: PairRule = PairRule.best_worst
    margin: float = 0.0
    max_pairs: int | None = None
    beta: float = 0.1

    uses_reference: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 4 / 3
    """Supervised training is one forward pass and a backward pass of twice its cost; the reference adds a forward."""

    def examples(self, inputs: ExampleInputs) -> PairExamples:
        """Pairs of completions of one prompt whose scores differ."""
        pairs = preference_pairs(
            inputs.rows.scores,
            inputs.rows.prompts,
            pairs=self.pairs,
            margin=self.margin,
            most=self.max_pairs,
            seed=inputs.seed,
            at_least=inputs.at_least,
        )
        return PairExamples(inputs.rows, pairs, inputs.prompter, inputs.max_length)

    def trainer(self, inputs: TrainerInputs) -> "MakeTrainer":
        """TRL's DPOTrainer."""
        from trl import DPOConfig, DPOTrainer

        return preference_trainer(DPOTrainer, DPOConfig, inputs, beta=self.beta)

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for a number out of its range."""
        yield from ranges.choice("method.pairs", self.pairs, PairRule)
        yield from ranges.not_negative("method.margin", self.margin)
        yield from ranges.count("method.max_pairs", self.max_pairs)
        yield from ranges.positive("method.beta", self.beta)

    def facts(self, spec: GoalSpec) -> dict[str, Any]:
        """How pairs are made, and the KL penalty."""
        return {"method": self.name, "pairs": self.pairs, "margin": self.margin, "beta": self.beta}

    def describe(self, examples: PairExamples, spec: GoalSpec, plan: Plan) -> Iterator[list[str]]:
        """Number of pairs and of prompts, and how far scores lie apart."""
        pairs, rows = examples.pairs, examples.feedback
        differences = rows.scores[pairs.chosen] - rows.scores[pairs.rejected]
        prompts = len(np.unique(rows.prompts[pairs.chosen]))
        yield ["pairs", f"{len(pairs)} of {prompts} prompts (mean difference {differences.mean():.3f})"]

    def write_rows(self, path: Path, examples: PairExamples, spec: GoalSpec, levels: Levels) -> None:
        """Write the row indices of each pair."""
        pairs = examples.pairs
        write_columns(path, PREFERENCE_PAIRS, {"chosen": pairs.chosen, "rejected": pairs.rejected})


def preference_pairs(
    scores: Floats,
    prompts: Ints,
    *,
    pairs: PairRule,
    margin: float,
    most: int | None,
    seed: int,
    at_least: int = 1,
) -> Pairs:
    """Pairs of rows of one prompt whose scores differ, by at least `margin`.

    Args:
        scores: higher is better, `(rows,)`.
        prompts: a number for each row's prompt, `(rows,)`.
        pairs: `best_worst` (one pair per prompt), `adjacent` (neighbours in the order of the scores) or `all`.
        margin: smallest difference.
        most: pairs per prompt; more are sampled down to this many. `None`: all are kept.
        seed: of that sampling.
        at_least: fewer pairs in total are an error.

    Raises:
        DataError: there are fewer than `at_least` pairs; says how many prompts have several grades, and what helps.
    """
    generator = np.random.default_rng(seed)
    chosen: list[Ints] = []
    rejected: list[Ints] = []
    for rows in _rows_of_prompts(scores, prompts):
        better, worse = _positions(len(rows), pairs)
        difference = scores[rows[better]] - scores[rows[worse]]
        kept = np.flatnonzero((difference > 0) & (difference >= margin))
        if most is not None and len(kept) > most:
            kept = np.sort(generator.choice(kept, most, replace=False))
        chosen.append(rows[better[kept]])
        rejected.append(rows[worse[kept]])
    none = np.empty(0, dtype=np.int64)
    found = Pairs(np.concatenate([none, *chosen]), np.concatenate([none, *rejected]))
    if len(found) < at_least:
        raise DataError(_too_few(found, scores, prompts, pairs, margin, at_least))
    return found


def _rows_of_prompts(scores: Floats, prompts: Ints) -> Iterator[Ints]:
    """Yield the rows of each prompt that has several, by ascending score."""
    order = np.lexsort((scores, prompts))
    starts = np.flatnonzero(np.r_[True, np.diff(prompts[order]) != 0])
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            yield rows


def _positions(count: int, pairs: PairRule) -> tuple[Ints, Ints]:
    """Positions of the better and of the worse rows of each pair among `count` rows in ascending order."""
    if pairs == PairRule.best_worst:
        return np.array([count - 1]), np.array([0])
    if pairs == PairRule.adjacent:
        return np.arange(1, count), np.arange(count - 1)
    return np.tril_indices(count, -1)


def _too_few(found: Pairs, scores: Floats, prompts: Ints, pairs: PairRule, margin: float, at_least: int) -> str:
    grades = np.unique(np.stack([prompts.astype(np.float64), scores]), axis=1)[0]
    several = int((np.unique(grades, return_counts=True)[1] > 1).sum())
    apart = f", and only differences of at least method.margin={margin:g} count" if margin else ""
    step = f", but one optimizer step takes {at_least}" if at_least > 1 else ""
    help_ = ["more graded completions per prompt"]
    help_ += ["a smaller method.margin"] if margin else []
    help_ += ["method.pairs=all"] if several and pairs is not PairRule.all else []
    help_ += ["a smaller train.batch_size"] if at_least > 1 else []
    return (
        f"{len(found)} preference pairs{step}: {several} of {len(np.unique(prompts))} prompts have completions with "
        f"different grades{apart}. What helps: {', '.join(help_)}. Methods that need no pairs: gcsl, sft, kto."
    )
