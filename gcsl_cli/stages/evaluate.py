"""evaluate: the trained model under several goals beside the untouched base, same prompts and seeds, with intervals."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.errors import ConfigError
from gcsl_cli.files import read_json, write_json, write_text
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.metrics.attainment import mean_score, rank_correlations, reached_share
from gcsl_cli.metrics.bootstrap import PerPrompt, interval, paired_difference
from gcsl_cli.provenance import provenance
from gcsl_cli.runs import Folder, identity
from gcsl_cli.schema import Config
from gcsl_cli.stages.answers import TEXT_COLUMNS, Answers, arm_answers, discrimination
from gcsl_cli.stages.experiment import Experiment, plain
from gcsl_cli.stages.generate import (
    Arm,
    arm_folder,
    configured_arm,
    trained_arm,
)
from gcsl_cli.stages.prepare import evaluation_prompts
from gcsl_cli.stages.train import ensure_trained

METRICS = "metrics.json"

log = logging.getLogger("gcsl")


def run(config: Config) -> dict[str, Any]:
    """The stage: generations of all arms, metrics.json, report.md and report.html."""
    experiment = Experiment(config)
    ensure_trained(experiment)
    arms = evaluation_arms(experiment)
    folder = _folder(experiment, arms)
    with folder.working(config.force) as todo:
        if todo:
            result = _evaluate(experiment, arms)
            _write(folder.path, result)
            folder.finish()
        result = read_json(folder.path / METRICS)
    main, name = result["columns"][0], configured_arm(experiment).name
    asked = next(arm for arm in result["arms"] if arm["name"] == name)
    message = f"This evaluation is done: {folder.path} (force=true does it again)."
    return {
        "stage": "evaluate",
        "status": "done" if todo else "already done",
        "run": str(folder.path),
        **({} if todo else {"message": message}),
        "summary": [["report", str(folder.path / "report.html")]],
        "result": result,
        "columns": {
            main["label"]: asked["metrics"][main["name"]]["value"],
            "perplexity under base": asked["metrics"]["perplexity"]["value"],
        },
    }


def evaluation_arms(experiment: Experiment) -> list[Arm]:
    """Base without and with the goal in words, each asked level, and the configured generation, each once."""
    config, spec = experiment.config.evaluation, experiment.spec
    configured = configured_arm(experiment)
    best = len(spec.levels) - 1
    arms = []
    if config.base:
        arms += [Arm("base", "base, no goal", False, None), Arm("base-best", "base, asked for best", False, best)]
        if configured.guidance:
            weight = configured.guidance
            arms.append(Arm(f"base-best-w{weight:g}", f"base, asked, guidance {weight:g}", False, best, weight))
    arms += [trained_arm(spec, level) for level in asked_levels(spec, config.levels)]
    return arms if configured in arms else [*arms, configured]


def asked_levels(spec: GoalSpec, levels: Any) -> list[int]:
    """Level indices in ascending order, from `all` or a list of `worst`, `best` and scores.

    Raises:
        ConfigError: it is neither.
    """
    if levels == "all":
        return list(range(len(spec.levels)))
    if not isinstance(levels, list):
        raise ConfigError(f"evaluation.levels={levels}: not a list; write all or, for instance, [worst,best].")
    return sorted({spec.level(level) for level in levels})


def _folder(experiment: Experiment, arms: Sequence[Arm]) -> Folder:
    generations = [arm_folder(experiment, arm).identity for arm in arms]
    keys = {
        **plain(experiment.config.evaluation),
        "generations": generations,
        "task": experiment.task.evaluation_keys(),
    }
    parent = experiment.training.identity
    name = f"{configured_arm(experiment).name}-{identity('evaluation', keys, parent)[:8]}"
    return Folder(experiment.training.path / "evaluations" / name, "evaluation", keys, parent)


def _evaluate(experiment: Experiment, arms: Sequence[Arm]) -> dict[str, Any]:
    started = time.monotonic()
    config, spec = experiment.config.evaluation, experiment.spec
    answers = [arm_answers(experiment, arm) for arm in arms]
    base = next((found for found in answers if found.arm.name == "base"), None)
    columns = [*experiment.task.columns(), *TEXT_COLUMNS]

    def estimate(metric: PerPrompt) -> dict[str, Any]:
        return interval(metric, resamples=config.bootstrap, seed=config.seed).as_dict()

    def difference(found: Answers) -> dict[str, Any] | None:
        if base is None or found is base:
            return None
        return {
            column.name: paired_difference(
                found.metrics[column.name], base.metrics[column.name], resamples=config.bootstrap, seed=config.seed
            ).as_dict()
            for column in columns
        }

    asked = [found for found in answers if found.arm.trained and not found.arm.guidance]
    levels = [spec.levels[found.arm.level or 0] for found in asked]
    ranks = rank_correlations(levels, [found.scores for found in asked])
    return {
        "format_version": 1,
        "task": experiment.task.name,
        "run": str(experiment.training.path),
        **{key: provenance()[key] for key in ("command", "commit")},
        "seconds": round(time.monotonic() - started, 1),
        "facts": _facts(experiment),
        "columns": [asdict(column) for column in columns],
        "arms": [
            {
                "name": found.arm.name,
                "label": found.arm.label,
                "asked": None if found.arm.level is None else spec.sentences[found.arm.level],
                "guidance": found.arm.guidance,
                "metrics": {column.name: estimate(found.metrics[column.name]) for column in columns},
                "difference": difference(found),
            }
            for found in answers
        ],
        "attainment": {
            "levels": [
                {
                    "level": level,
                    "asked": spec.sentences[found.arm.level or 0],
                    "share": estimate(reached_share(level, found.scores)),
                    "mean": estimate(mean_score(found.scores)),
                }
                for level, found in zip(levels, asked, strict=True)
            ],
            "spearman_levels": _number(ranks.levels),
            "spearman_completions": _number(ranks.completions),
        },
        "discrimination": discrimination(experiment),
        "distributions": {found.arm.name: np.round(found.scores, 4).ravel().tolist() for found in answers},
        "examples": _examples(experiment, answers),
        "unmask": config.unmask,
    }


def _facts(experiment: Experiment) -> dict[str, Any]:
    config, manifest = experiment.config, experiment.training.manifest()
    return {
        "model": config.model.name,
        "adapter": config.adapter.name,
        "formulation": experiment.spec.formulation,
        "wording": experiment.spec.wording,
        "placement": experiment.spec.placement,
        "levels": ", ".join(f"{round(level, 6):.3g}" for level in experiment.spec.levels),
        "feedback": manifest["feedback"],
        "training_steps": manifest["steps"],
        "training_tokens": manifest["tokens"],
        "training_seconds": manifest["training_seconds"],
        "validation_loss": manifest["validation_loss"],
        "prompts": len(evaluation_prompts(experiment)),
        "samples": config.generation.samples,
        "seed": config.seed,
        "generation_seed": config.generation.seed,
    }


def _examples(experiment: Experiment, answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """The first completions of evenly spread prompts, the same prompts for every arm."""
    prompts = evaluation_prompts(experiment)
    count = max(1, experiment.config.evaluation.examples // len(answers))
    chosen = np.unique(np.linspace(0, len(prompts) - 1, count).astype(int)).tolist()
    return [
        {
            "arm": found.arm.name,
            "prompt": prompts[index].text,
            "completion": found.completions[index][0],
            "score": round(float(found.scores[index][0]), 4),
        }
        for index in chosen
        for found in answers
    ]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(path: Path, result: dict[str, Any]) -> None:
    from gcsl_cli.reports.html import report_html
    from gcsl_cli.reports.markdown import report_markdown

    write_text(path / "report.md", report_markdown(result))
    write_text(path / "report.html", report_html(result))
    write_json(path / METRICS, result)
