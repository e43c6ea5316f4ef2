"""From a trained model to the one that is saved: whole, in the dtype of its base, or the adapter alone.

Merging runs on the CPU, so that a second model never has to fit on the GPU.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.data.artifacts.hub import parse_hub_uri
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.loading import stored_dtype
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.trainer import starting_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from gcsl_cli.training.loop import Trained


def model_to_save(
    experiment: Experiment, spec: GoalSpec, trained: "Trained"
) -> "tuple[PreTrainedModel, dict[str, Any] | None]":
    """The trained model as it is saved, and its weights if the model has only a part of them; it may be changed."""
    from gcsl_cli.training.loop import merge_adapter

    adapter, model, state = experiment.config.adapter, trained.model, trained.state
    if not experiment.config.export.merged:
        model.peft_config["default"].base_model_name_or_path = _base_name(experiment)
        return model, state
    dtype = stored_dtype(experiment.model_config)
    if adapter.name == "none" and state is not None:
        return model, {name: weight.to(dtype) for name, weight in state.items()}
    if adapter.name == "none":
        return model.to(device="cpu", dtype=dtype), None
    if adapter.changes_base:
        # The adapter took a part of the base, so it only fits what is left of it.
        return model.to("cpu").merge_and_unload().to(dtype), None
    return merge_adapter(model, starting_model(experiment, spec, dtype, on="cpu"), state), None


def _base_name(experiment: Experiment) -> str:
    """What an adapter calls its base: its name on the Hub, because the path of a cache means nothing elsewhere."""
    uri = experiment.config.model.uri
    if uri.startswith("hf://") and (item := parse_hub_uri(uri)).file is None:
        return item.repo_id
    return str(experiment.base_path)
