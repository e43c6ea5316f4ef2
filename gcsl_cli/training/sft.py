"""Supervised fine-tuning through TRL's SFTTrainer: with goals or without."""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from gcsl_cli.training.rows import PlanCollator, PlannedBatches
from gcsl_cli.training.weighting import WeightedSFTTrainer

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.training.loop import MakeTrainer


def sft_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    batches: PlannedBatches,
    validation: PlannedBatches | None,
    peft_config: "PeftConfig | None",
) -> "MakeTrainer":
    """An SFTTrainer over planned micro-batches; rows count by their weights where the goal has them."""
    trainer = WeightedSFTTrainer if batches.prompter.spec.weights else SFTTrainer

    def make(arguments: dict[str, Any], callbacks: list[TrainerCallback]) -> SFTTrainer:
        return trainer(
            model=model,
            args=sft_arguments(arguments),
            train_dataset=batches.dataset(),
            eval_dataset=None if validation is None else validation.dataset(),
            data_collator=PlanCollator(tokenizer.pad_token_id),
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
        )

    return make


def sft_arguments(arguments: dict[str, Any]) -> SFTConfig:
    """TRL's configuration: one item of the data set is one micro-batch."""
    return SFTConfig(
        **arguments,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
