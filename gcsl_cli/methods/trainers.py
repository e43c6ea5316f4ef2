"""DPO and KTO through TRL's trainers, on planned pairs and labelled rows that are tokens already.

The reference model is the starting model: under an adapter the same weights with the adapter switched off, so that no
second copy is kept; in full fine-tuning a frozen copy.
"""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.training.loop import MakeTrainer


class PlannedDPOTrainer(DPOTrainer):
    """TRL's DPOTrainer (Rafailov et al. 2023, arXiv 2305.18290) on rows that are tokens already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class PlannedKTOTrainer(KTOTrainer):
    """TRL's KTOTrainer (Ethayarajh et al. 2024, arXiv 2402.01306) on rows that are tokens already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def dpo_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    pairs: "Dataset",
    validation: "Dataset | None",
    peft_config: "PeftConfig | None",
    *,
    reference: "PreTrainedModel | None",
    micro_batch_size: int,
    beta: float,
) -> "MakeTrainer":
    """A DPOTrainer with the sigmoid loss; `reference` is needed without an adapter only."""

    def make(arguments: dict[str, Any], callbacks: list[TrainerCallback]) -> DPOTrainer:
        return PlannedDPOTrainer(
            model=model,
            ref_model=reference,
            args=DPOConfig(
                **arguments,
                per_device_train_batch_size=micro_batch_size,
                per_device_eval_batch_size=micro_batch_size,
                beta=beta,
            ),
            train_dataset=pairs,
            eval_dataset=validation,
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
        )

    return make


def kto_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    validation: "Dataset | None",
    peft_config: "PeftConfig | None",
    *,
    reference: "PreTrainedModel | None",
    micro_batch_size: int,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> "MakeTrainer":
    """A KTOTrainer; `reference` is needed without an adapter only. A micro-batch has at least two rows."""

    def make(arguments: dict[str, Any], callbacks: list[TrainerCallback]) -> KTOTrainer:
        return PlannedKTOTrainer(
            model=model,
            ref_model=reference,
            args=KTOConfig(
                **arguments,
                per_device_train_batch_size=micro_batch_size,
                per_device_eval_batch_size=micro_batch_size,
                beta=beta,
                desirable_weight=desirable_weight,
                undesirable_weight=undesirable_weight,
            ),
            train_dataset=rows,
            eval_dataset=validation,
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
        )

    return make
