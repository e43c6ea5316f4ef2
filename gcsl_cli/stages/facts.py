"""What was run, for people to read, and what two results must share to be compared."""

import hashlib
import json
from typing import Any

from gcsl_cli import __version__
from gcsl_cli.configs.schema import Config
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts

SAMPLING = ("samples", "max_new_tokens", "temperature", "top_p", "seed")


def facts(experiment: Experiment) -> dict[str, Any]:
    """Names and values of a report."""
    config, manifest = experiment.config, experiment.training.manifest()
    return {
        "model": config.model.name,
        "adapter": config.adapter.name,
        **_method_facts(experiment),
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


def compared_by(experiment: Experiment) -> dict[str, str]:
    """What has to be equal for two results to be comparable, each as a short text."""
    return {
        "feedback": experiment.feedback.identity,
        "base model": _short(experiment.model_keys),
        "budget": str(experiment.training.manifest()["budget"]),
        "evaluation prompts": _short([prompt.prompt_id for prompt in evaluation_prompts(experiment)]),
        "sampling": sampling(experiment.config),
        "measures": _short(experiment.task.evaluation_keys()),
        "version": __version__,
    }


def sampling(config: Config) -> str:
    """How completions are sampled, apart from goals and guidance."""
    return ", ".join(f"{key} {getattr(config.generation, key)}" for key in SAMPLING)


def _short(keys: Any) -> str:
    return hashlib.sha256(json.dumps(keys, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _method_facts(experiment: Experiment) -> dict[str, Any]:
    spec, method, name = experiment.spec, experiment.config.method, experiment.config.method_name
    if name == "sft":
        return {"method": name, "rows": str(method.select)}
    if name == "dpo":
        return {"method": name, "pairs": str(method.pairs), "margin": method.margin, "beta": method.beta}
    if name == "kto":
        return {"method": name, "threshold": method.threshold or "median", "beta": method.beta}
    return {
        "formulation": spec.formulation,
        "wording": spec.wording,
        "placement": spec.placement,
        "levels": ", ".join(spec.labels) or "the scores themselves",
    }
