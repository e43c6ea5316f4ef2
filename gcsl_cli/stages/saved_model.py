"""From a trained model to the one that is saved: whole, in the dtype of its base, or the adapter alone.

Merging runs on the CPU, so that a second model never has to fit on the GPU.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.data.artifacts.hub import parse_hub_uri
from gcsl_cli.goals.control_tokens import quiet_head
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.loading import stored_dtype
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.trainer import starting_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def model_to_save(
    experiment: Experiment, spec: GoalSpec, trained: "PreTrainedModel", state: dict[str, Any] | None = None
) -> "PreTrainedModel":
    """The trained model as it is saved; it may be changed in place.

    `state`: the trained weights, if the model is sharded. If that model is returned, they are to be saved in its place.
    """
    if not experiment.config.export.merged:
        trained.peft_config["default"].base_model_name_or_path = _base_name(experiment)
        return trained
    model = _whole(experiment, spec, trained, state)
    if spec.wording != "token":
        return model
    if model is trained and state is not None:
        model = starting_model(experiment, spec, stored_dtype(experiment.model_config), on="cpu")
        model.load_state_dict(state, strict=False)
    quiet_head(model, experiment.prompter(spec).tokenizer, spec.texts, spec.words)
    return model


def _whole(
    experiment: Experiment, spec: GoalSpec, trained: "PreTrainedModel", state: dict[str, Any] | None
) -> "PreTrainedModel":
    """The trained model with its adapter merged, on the CPU unless it is sharded."""
    from gcsl_cli.training.loop import merge_adapter

    adapter, dtype = experiment.config.adapter, stored_dtype(experiment.model_config)
    if adapter.name == "none" and state is not None:
        state.update({name: weight.to(dtype) for name, weight in state.items()})
        return trained
    if adapter.name == "none":
        return trained.to(device="cpu", dtype=dtype)
    if adapter.changes_base:
        # The adapter took a part of the base, so it only fits what is left of it.
        return trained.to("cpu").merge_and_unload().to(dtype)
    return merge_adapter(trained, starting_model(experiment, spec, dtype, on="cpu"), state)


def _base_name(experiment: Experiment) -> str:
    """What an adapter calls its base: its name on the Hub, because the path of a cache means nothing elsewhere."""
    uri = experiment.config.model.uri
    if uri.startswith("hf://") and (item := parse_hub_uri(uri)).file is None:
        return item.repo_id
    return str(experiment.base_path)
