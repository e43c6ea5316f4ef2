"""The model as training starts from it: the pretrained one, its control tokens, its adapter."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gcsl_cli.configs.schema import AdapterConfig
from gcsl_cli.goals.control_tokens import extend_model
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.wording import control_tokens
from gcsl_cli.models.loading import load_model
from gcsl_cli.stages.experiment import Experiment

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel


def starting_model(experiment: Experiment, spec: GoalSpec, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """The pretrained model, with embeddings for control tokens where the goal's wording has them."""
    model = load_model(experiment.base_path, dtype)
    if spec.wording == "token":
        tokenizer = experiment.prompter(spec).tokenizer
        extend_model(model, tokenizer, spec.texts, spec.words, untie=experiment.config.adapter.name != "none")
    return model


def control_ids(experiment: Experiment, spec: GoalSpec) -> list[int]:
    """The ids of the goal's control tokens; none for other wordings."""
    if spec.wording != "token":
        return []
    names = [name for text in spec.texts for name in control_tokens(text)]
    return [int(id_) for id_ in experiment.prompter(spec).tokenizer.convert_tokens_to_ids(names)]


def peft_config(adapter: AdapterConfig, trained_tokens: Sequence[int] = ()) -> "PeftConfig | None":
    """LoRA's settings, `None` for full fine-tuning; the embeddings of `trained_tokens` are trained beside it."""
    if adapter.name == "none":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.target_modules if isinstance(adapter.target_modules, str) else [*adapter.target_modules],
        task_type="CAUSAL_LM",
        trainable_token_indices={"embed_tokens": list(trained_tokens)} if trained_tokens else None,
    )


def base_dtype(*, frozen: bool, bf16: bool) -> "torch.dtype | None":
    """Frozen weights under bf16 autocast are kept in bf16: casting them at every step costs a third of it."""
    import torch

    return torch.bfloat16 if bf16 and frozen else None
