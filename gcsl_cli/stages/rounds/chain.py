"""Rounds: sample the trained policy under a mix of goals, grade, relabel and train again.

    round 1    base    --sample--> feedback 1                --train--> policy 1
    round 2    policy 1 --sample--> feedback 2 + feedback 1  --train--> policy 2

Each round is an experiment with its own folders, whose identity contains that of the round before. Asking the policy
for the best goal is what Quark (arXiv 2205.13636) and ALT (arXiv 2407.16970) do between rounds; without goals, rounds
of `method=sft` on the best rows are expert iteration, or ReST (arXiv 2308.08998).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.configs.choices import RoundStart
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.merging import merged, round_numbers
from gcsl_cli.data.records import GENERATION, FeedbackRows, Generation, Prompt, read_table
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.levels import better_level
from gcsl_cli.runs.folders import Folder, identity
from gcsl_cli.stages.evaluation.completions import sample_arm
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import SHARDS, ensure_feedback
from gcsl_cli.stages.rounds.mix import allocation, mix_parts
from gcsl_cli.stages.rounds.validation import Validated, reason_to_stop, validated
from gcsl_cli.stages.samplers import check_backend
from gcsl_cli.tasks.base import Rollouts, RolloutSettings

log = logging.getLogger("gcsl")


class Round(Experiment):
    """The experiment of a later round: its feedback comes from the policy of the round before."""

    previous: Experiment

    def __init__(self, config: Config, previous: Experiment) -> None:
        super().__init__(config)
        self.previous, self.number = previous, previous.number + 1

    @cached_property
    def feedback(self) -> Folder:
        """Folder of the graded feedback; below the identity of the round before, whose policy is sampled."""
        keys = {"task": self.task.name, **self.task.feedback_keys(self.model_keys), "round": self._sampled_as}
        name = f"feedback-{self.task.feedback_name()}{self.suffix}"
        return Folder.named(self.root, name, "feedback", keys, self.previous.training.identity)

    @property
    def feedback_origin(self) -> str:
        """The origin of the round before and how its policy was sampled."""
        return identity("feedback", self._sampled_as, self.previous.feedback_origin)

    @property
    def _sampled_as(self) -> dict[str, Any]:
        rounds = self.config.rounds
        mix = rounds.shares if self.method.uses_goals else {}
        return {
            "number": self.number,
            "mix": {name: share for name, share in sorted(mix.items()) if share},
            "guidance": rounds.guidance if mix.get("guided") else 0.0,
            "keep": rounds.kept,
            **self.config.generation.backend_keys,
        }

    @property
    def round_keys(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The round, how its feedback was sampled, the model that it starts from, and whether levels are added."""
        rounds = self.config.rounds
        return {"round": {**self._sampled_as, "start": str(rounds.start), "extend": rounds.extend}}

    @cached_property
    def start_path(self) -> Path:
        """The base model, or the model of the round before."""
        if self.config.rounds.start is RoundStart.base:
            return self.base_path
        return self.previous.training.verified("model")

    @cached_property
    def base_model(self) -> Any:
        """The untouched model, which all rounds share."""
        return self.previous.base_model

    def collect(self, rollouts: Rollouts, folder: Path) -> FeedbackRows:  # noqa: ARG002
        """Sample the policy of the round before, grade its completions, and add earlier feedback."""
        with self.previous.engines.kept():
            sampled = self.task.graded_rows(self._sample, folder)
        # Two policies need not fit into memory; an evaluation of the round before is finished by now.
        self.previous.__dict__.pop("policy", None)
        rows = merged(ensure_feedback(self.previous), sampled, self.number, self.config.rounds.kept)
        new = int((round_numbers(rows) == self.number).sum())
        log.info("round %d: %d new graded rows, %d in all", self.number, new, len(rows))
        return rows

    def goal_config(self, feedback: FeedbackRows) -> Config:
        """The config, with levels that rounds have added to the fixed ones."""
        goal = self.config.goal
        if not self.config.rounds.extend:
            return self.config
        scale = self.task.grade_scale(feedback)
        train = feedback.of_split("train")
        values = [scale.score(value) for value in goal.levels.values]
        values += [level for level in self.previous.spec.levels if max(values) < level <= train.scores.max()]
        better = better_level(max(values), train.scores[round_numbers(train) == self.number])
        if better is not None:
            log.info("round %d adds the level %s", self.number, scale.grade(better))
            values.append(better)
        levels = replace(goal.levels, values=[scale.grade(value) for value in values])
        return replace(self.config, goal=replace(goal, levels=levels))

    def _sample(self, prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
        """Sample the policy of the round before: each prompt as often as settings say, under the goals of the mix."""
        policy, rounds = self.previous, self.config.rounds
        parts = mix_parts(policy.spec, rounds.shares, rounds.guidance)
        shares, seed = [part.share for part in parts], derived_seed(settings.seed, self.number)
        counts = allocation(len(prompts), settings.samples, shares, seed)
        found: dict[str, list[Generation]] = {prompt.prompt_id: [] for prompt in prompts}
        for place, part in enumerate(parts):
            for count in np.unique(counts[counts[:, place] > 0, place]).tolist():
                chosen = [prompt for prompt, of in zip(prompts, counts[:, place], strict=True) if of == count]
                rows = sample_arm(
                    policy,
                    part.arm,
                    chosen,
                    replace(settings, samples=count),
                    self.feedback.path / SHARDS / f"{part.arm.name}-{count}",
                    seed=derived_seed(settings.seed, self.number, place, count),
                    label=f"round {self.number}, rollouts",
                )
                for row in rows:
                    found[row.prompt_id].append(row)
        return [replace(row, sample=number) for rows in found.values() for number, row in enumerate(rows)]


def rounds_of(config: Config) -> Iterator[Experiment]:
    """The experiments of all rounds, each chained to the one before: a single one where nothing is repeated.

    Raises:
        ConfigError: there is nothing to sample in a later round.
    """
    if not config.in_rounds:
        yield Experiment(config)
        return
    experiment = Experiment(_of_round(config, 1))
    if not experiment.task.rollouts_planned():
        raise ConfigError(
            f"rounds.count={config.rounds.count} with task={config.task.name}, whose feedback is given: there is no "
            "prompt to sample for in a later round. Use a task that samples the policy (such as task=toxicity), or "
            "rounds.count=1."
        )
    yield experiment
    for number in range(2, config.rounds.count + 1):
        experiment = Round(_of_round(config, number), experiment)
        yield experiment


class Rounds:
    """The rounds of a config in turn: the caller trains each before it asks for the next."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.trained: list[Experiment] = []
        self.results: list[Validated] = []
        """How good each trained round is on validation prompts, where `rounds.stop` asks for it."""
        self.reason = ""
        """Why the last trained round is the last; empty if it is so by number."""

    def __iter__(self) -> Iterator[Experiment]:
        """Yield the rounds; end early where `rounds.stop` says so."""
        for experiment in rounds_of(self.config):
            if self.config.in_rounds and not experiment.training.done():
                check_backend(self.config)
            yield experiment
            self.trained.append(experiment)
            if self.config.in_rounds and self.config.rounds.stops:
                self.results.append(validated(experiment))
                self.reason = reason_to_stop(self.config.rounds.stop, self.results)
            if self.reason:
                log.info("rounds end after round %d: %s", experiment.number, self.reason)
                return

    def summary(self) -> list[list[str]]:
        """Label and value pairs for people: which round is the result, and why there is no further one."""
        if not self.config.in_rounds:
            return []
        ended = [["rounds ended", f"after round {self.trained[-1].number}: {self.reason}"]] if self.reason else []
        return [["round", f"{self.chosen.number} of {len(self.trained)}, {self.chosen.training.path}"], *ended]

    @property
    def chosen(self) -> Experiment:
        """The trained round to use: the last, or the one before if the last is why the rounds ended."""
        return self.trained[-2] if self.reason and len(self.trained) > 1 else self.trained[-1]


def current(config: Config) -> Experiment:
    """The first round whose training is not finished, else the last."""
    for experiment in rounds_of(config):
        if not experiment.training.done():
            break
    return experiment


def later_rounds(config: Config) -> list[list[str]]:
    """A line for people who see only the first round."""
    if not config.in_rounds:
        return []
    return [["rounds", f"{config.rounds.count}; this is the first. The others sample the policy trained before them"]]


def derived_seed(*parts: int) -> int:
    """A seed of its own for each part of a round."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1)[0])


def rollout_tokens(experiment: Experiment) -> int:
    """Tokens that were sampled for the feedback of this round."""
    shards = sorted((experiment.feedback.path / SHARDS).rglob("*.parquet"))
    return sum(int(np.sum(read_table(shard, GENERATION)["tokens"].to_numpy())) for shard in shards)


def _of_round(config: Config, number: int) -> Config:
    """The config of one round: a task of its own, because tasks collect what they leave out, and its own folder."""
    run = None if config.run is None else str(Path(config.run) / f"round-{number}")
    return replace(config, task=replace(config.task), run=run)
