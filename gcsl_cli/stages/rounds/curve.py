"""The curve over rounds: what each round reached, how far it is from base, and what it cost so far.

A point is an arm of a round, base is round 0:
    {"round": 2, "arm": "best", "guidance": 0.0, "run": "runs/...", "metrics": {"mean_toxicity": {"value": 0.1, ...}},
     "training_tokens": 30000, "training_seconds": 140.1, "rollout_tokens": 81234,
     "against_guided": {"mean_toxicity": {"value": 0.01, ...}}}
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gcsl_cli.metrics.bootstrap import paired_difference
from gcsl_cli.reports.comparison.compute import OF_ALL_ROUNDS
from gcsl_cli.reports.saved import VALUES_FILE, read_values
from gcsl_cli.stages.evaluation.answers import Answers
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.rounds.chain import rollout_tokens

COSTS = ("training_tokens", "training_seconds", "rollout_tokens")
"""What is added up over the rounds."""


class Curve:
    """The evaluations of the rounds so far, in order."""

    def __init__(self) -> None:
        self.identities: list[str] = []
        self._folder: Path | None = None
        self._points: list[dict[str, Any]] = []

    def add(self, identity: str, folder: Path, result: Mapping[str, Any]) -> None:
        """Go on from the evaluation of a round."""
        self.identities.append(identity)
        self._folder, self._points = folder, result.get("rounds", [])

    def costs(self, experiment: Experiment) -> dict[str, Any]:
        """Facts about the rollouts of this round, and sums of the costs of the rounds so far."""
        manifest = experiment.training.manifest()
        here = {
            "training_tokens": manifest["tokens"],
            "training_seconds": manifest["training_seconds"],
            "rollout_tokens": rollout_tokens(experiment),
        }
        before = self._points[-1] if self._points else {}
        so_far = {
            OF_ALL_ROUNDS.format(name=name): round(value + before.get(name, 0), 1) for name, value in here.items()
        }
        return {"round": experiment.number, "rollout_tokens": here["rollout_tokens"], **so_far}

    def extended(
        self, experiment: Experiment, result: Mapping[str, Any], answers: Sequence[Answers]
    ) -> list[dict[str, Any]]:
        """The points of the earlier rounds and of this one."""
        return [*self._points, *self._new(experiment, result, answers)]

    def _new(
        self, experiment: Experiment, result: Mapping[str, Any], answers: Sequence[Answers]
    ) -> Iterator[dict[str, Any]]:
        costs = {name: result["facts"][OF_ALL_ROUNDS.format(name=name)] for name in COSTS}
        found = {answer.arm.name: answer for answer in answers}
        for arm in result["arms"]:
            point = {"arm": arm["name"], "guidance": arm["guidance"], "metrics": arm["metrics"]}
            if arm["name"] == "base" and not self._points:
                yield {"round": 0, "run": None, **point, **dict.fromkeys(costs, 0), "against_guided": None}
            elif arm["trained"] and not arm["ratio"] and (arm["best"] or arm["goal"] is None):
                plain = None if arm["guidance"] else self._against_guided(experiment, found[arm["name"]])
                yield {"round": experiment.number, "run": result["run"], **point, **costs, "against_guided": plain}

    def _against_guided(self, experiment: Experiment, plain: Answers) -> dict[str, Any] | None:
        """Paired differences of plain sampling to guided sampling of the round before; `None` if there was none."""
        guided = next((point for point in reversed(self._points) if point["guidance"]), None)
        if guided is None or self._folder is None or guided["round"] != experiment.number - 1:
            return None
        others, config = read_values(self._folder / VALUES_FILE)[guided["arm"]], experiment.config.evaluation
        return {
            name: paired_difference(metric, others[name], resamples=config.bootstrap, seed=config.seed).as_dict()
            for name, metric in plain.metrics.items()
            if name in others
        }
