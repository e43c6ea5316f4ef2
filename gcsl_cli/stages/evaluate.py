"""evaluate: compare the trained model under several goals with the base model, on the same prompts and seeds."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli import __version__
from gcsl_cli.configs.schema import Config, EvaluationConfig
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.metrics.attainment import mean_score, rank_correlations, reached_share
from gcsl_cli.metrics.bootstrap import PerPrompt, interval, paired_difference
from gcsl_cli.reports.saved import EVALUATIONS, METRICS_FILE, RESULT_VERSION, VALUES_FILE, write_values
from gcsl_cli.runs.files import read_json, write_json, write_text
from gcsl_cli.runs.folders import Folder
from gcsl_cli.runs.provenance import provenance
from gcsl_cli.stages.evaluation.answers import TEXT_COLUMNS, Answers, all_answers, answer_identities, result_columns
from gcsl_cli.stages.evaluation.arms import Arm, configured_arm, evaluation_arms, requested_goals, sampling
from gcsl_cli.stages.evaluation.held_out import HeldOut, check_cut
from gcsl_cli.stages.evaluation.objective import evaluation_objective
from gcsl_cli.stages.evaluation.several import several_scores
from gcsl_cli.stages.experiment import Experiment, plain
from gcsl_cli.stages.feedback import check_evaluated, evaluation_prompts
from gcsl_cli.stages.rounds.chain import Rounds
from gcsl_cli.stages.rounds.curve import Curve
from gcsl_cli.stages.train import ensure_trained
from gcsl_cli.tasks.base import Column, grader

log = logging.getLogger("gcsl")


def run(config: Config) -> dict[str, Any]:
    """Run the stage for every round: generations of all arms, then metrics.json, report.md and report.html."""
    rounds, curve = Rounds(config), Curve()
    for experiment in rounds:
        found = _run_round(experiment, curve)
    return found | {"summary": [*found["summary"], *rounds.summary()]}


def _run_round(experiment: Experiment, curve: Curve) -> dict[str, Any]:
    config = experiment.config
    if config.evaluation.generations:
        check_evaluated(experiment)
    check_cut(experiment)
    ensure_trained(experiment)
    arms = evaluation_arms(experiment)
    folder = _folder(experiment, arms, curve)
    with folder.working(config.force) as todo:
        if todo or not (folder.path / METRICS_FILE).exists():
            answers = all_answers(experiment, arms)
            result = _evaluate(experiment, answers)
            if config.in_rounds:
                result["facts"] |= curve.costs(experiment)
                result["rounds"] = curve.extended(experiment, result, answers)
            write_values(folder.path / VALUES_FILE, {found.arm.name: found.metrics for found in answers})
            _write(folder.path, result)
            folder.finish(METRICS_FILE, VALUES_FILE)
        result = read_json(folder.verified(METRICS_FILE))
    curve.add(folder.identity, folder.path, result)
    message = f"This evaluation is finished: {folder.path} (force=true repeats it)."
    return {
        "stage": "evaluate",
        "status": "done" if todo else "already done",
        "run": str(folder.path),
        **({} if todo else {"message": message}),
        "summary": [["report", str(folder.path / "report.html")]],
        "result": result,
        "columns": _main_values(experiment, result),
        "objective": evaluation_objective(result, configured_arm(experiment).name if result["arms"] else None),
    }


def _main_values(experiment: Experiment, result: dict[str, Any]) -> dict[str, Any]:
    """Columns of this evaluation in the table of a sweep."""
    values: dict[str, Any] = {}
    if result["arms"]:
        name = configured_arm(experiment).name
        asked = next(arm for arm in result["arms"] if arm["name"] == name)
        shown = {column["name"]: column["label"] for column in (result["columns"][0], asdict(TEXT_COLUMNS[0]))}
        values |= {label: asked["metrics"][name]["value"] for name, label in shown.items() if name in asked["metrics"]}
    if result["discrimination"]:
        values["goal discrimination AUC"] = result["discrimination"]["trained"]["pooled"]["value"]
    return values


def _folder(experiment: Experiment, arms: Sequence[Arm], curve: Curve) -> Folder:
    settings = plain(experiment.config.evaluation)
    if not settings["divergence"]:
        settings.pop("divergence")  # such evaluations are as before it could be measured
    keys = {
        **settings,
        **({"rounds": curve.identities} if experiment.config.in_rounds else {}),
        "generations": answer_identities(experiment, arms),
        "task": experiment.task.evaluation_keys(),
    }
    asked, run = configured_arm(experiment).name if arms else "held-out", experiment.training
    return Folder.named(run.path / EVALUATIONS, asked, "evaluation", keys, run.identity)


def _evaluate(experiment: Experiment, answers: Sequence[Answers]) -> dict[str, Any]:
    started = time.monotonic()
    config, task, spec = experiment.config.evaluation, experiment.task, experiment.spec
    base = next((found for found in answers if found.arm.name == "base"), None)
    columns = result_columns(experiment) if answers else []
    held_out, goals = HeldOut.of(experiment), requested_goals(spec, config.levels)
    several, separated = several_scores(experiment, answers), None if held_out is None else held_out.parts()
    return {
        "format_version": RESULT_VERSION,
        "task": task.name,
        "run": str(experiment.training.path),
        **{key: provenance()[key] for key in ("command", "commit")},
        "facts": _facts(experiment),
        "compared_by": _compared_by(experiment),
        "graded": grader(task) is not None,
        "columns": [asdict(column) for column in columns],
        "arms": [_arm(experiment, found, base, columns) for found in answers],
        **({} if several is None else {"several": several}),
        "attainment": None if isinstance(spec, JointSpec) else _attainment(experiment, answers),
        "discrimination": None if held_out is None else held_out.discrimination(),
        **({} if separated is None else {"part_discrimination": separated}),
        "likelihoods": None if held_out is None else held_out.likelihoods(goals or [None]),
        "distributions": {
            found.arm.name: np.round(found.scores[np.isfinite(found.scores)], 4).tolist()
            for found in answers
            if found.scores is not None and found.completions
        },
        "examples": _examples(experiment, answers),
        "unmask": config.unmask,
        "seconds": round(time.monotonic() - started, 1),
    }


def _arm(experiment: Experiment, found: Answers, base: Answers | None, columns: Sequence[Column]) -> dict[str, Any]:
    """A row of the results table: what was asked of which model, its metrics, and their differences to `base`."""
    config, spec, arm = experiment.config.evaluation, experiment.spec, found.arm
    names = [column.name for column in columns if column.name in found.metrics]
    difference = None
    if base is not None and found is not base:
        difference = {
            name: paired_difference(
                found.metrics[name], base.metrics[name], resamples=config.bootstrap, seed=config.seed
            ).as_dict()
            for name in names
            if name in base.metrics
        }
    return {
        "name": arm.name,
        "label": arm.label,
        "asked": None if arm.goal is None else spec.meaning(arm.goal),
        "guidance": arm.guidance,
        "trained": arm.trained,
        "reference": arm.reference,
        "ratio": arm.ratio,
        "goal": None if arm.goal is None else spec.asked(arm.goal),
        "best": arm.goal is not None and arm.goal == spec.best,
        "metrics": {name: _estimate(config, found.metrics[name]) for name in names},
        "difference": difference,
    }


def _estimate(config: EvaluationConfig, metric: PerPrompt) -> dict[str, Any]:
    return interval(metric, resamples=config.bootstrap, seed=config.seed).as_dict()


def _attainment(experiment: Experiment, answers: Sequence[Answers]) -> dict[str, Any] | None:
    """Scores achieved under each requested goal; `None` if completions have no score.

    Quantiles within a prompt cannot be checked, because the scores of its other completions are unknown.
    """
    config, spec = experiment.config.evaluation, experiment.spec
    asked = [
        (found.arm.goal, found.scores)
        for found in answers
        if found.arm.goal is not None and found.scores is not None and found.arm.plain
    ]
    if not asked:
        return None
    asked.sort(key=lambda pair: pair[0])
    ranks = rank_correlations([goal for goal, _ in asked], [scores for _, scores in asked])
    return {
        "levels": [
            {
                "level": goal,
                "label": spec.display(goal),
                "asked": spec.meaning(goal),
                "share": None if spec.per == "prompt" else _estimate(config, reached_share(goal, scores)),
                "mean": _estimate(config, mean_score(scores)),
            }
            for goal, scores in asked
        ],
        "spearman_levels": _number(ranks.levels),
        "spearman_completions": _number(ranks.completions),
    }


def _examples(experiment: Experiment, answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """The first completions of evenly spread prompts, the same prompts for every arm."""
    prompts = evaluation_prompts(experiment)
    answers = [found for found in answers if found.completions]
    if not answers:
        return []
    count = max(1, experiment.config.evaluation.examples // len(answers))
    chosen = np.unique(np.linspace(0, len(prompts) - 1, count).astype(int)).tolist()
    return [
        {
            "arm": found.arm.name,
            "prompt": prompts[index].text,
            "completion": found.completions[index][0],
            "score": None if found.scores is None else _number(round(float(found.scores[index][0]), 4)),
        }
        for index in chosen
        for found in answers
    ]


def _facts(experiment: Experiment) -> dict[str, Any]:
    """Settings and sizes of the run, shown in the report."""
    config, manifest = experiment.config, experiment.training.manifest()
    return {
        "model": config.model.name,
        "adapter": config.adapter.name,
        **experiment.method.facts(experiment.spec),
        **({"missed_goals_weight": config.goal.missed.weight} if config.misses_goals else {}),
        "feedback": manifest["feedback"],
        "budget": manifest["budget"],
        "training_steps": manifest["steps"],
        "training_tokens": manifest["tokens"],
        "supervised_tokens": manifest["supervised_tokens"],
        "training_seconds": manifest["training_seconds"],
        "validation_loss": manifest["validation_loss"],
        **(
            {"prompts": len(evaluation_prompts(experiment)), "samples": config.generation.samples}
            if config.evaluation.generations
            else {}
        ),
        "seed": config.seed,
        "generation_seed": config.generation.seed,
    }


def _compared_by(experiment: Experiment) -> dict[str, str]:
    """What must be equal for two results to be comparable, each as a short text."""
    return {
        "feedback": experiment.feedback_origin,
        "base model": _digest(experiment.model_keys),
        "budget": str(experiment.training.manifest()["budget"]),
        "evaluation prompts": _digest([prompt.prompt_id for prompt in evaluation_prompts(experiment)]),
        "sampling": sampling(experiment.config.generation),
        "measures": _digest(experiment.task.evaluation_keys()),
        "version": __version__,
    }


def _digest(keys: Any) -> str:
    return hashlib.sha256(json.dumps(keys, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(path: Path, result: dict[str, Any]) -> None:
    from gcsl_cli.reports.evaluation import report_html, report_markdown

    write_text(path / "report.md", report_markdown(result))
    write_text(path / "report.html", report_html(result))
    write_json(path / METRICS_FILE, result)
