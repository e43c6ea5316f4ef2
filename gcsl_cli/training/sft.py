"""Supervised fine-tuning with TRL's SFTTrainer, with or without goals."""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from gcsl_cli.models.attention import uses_flash_attention
from gcsl_cli.training.micro_batches import PlanCollator, PlannedBatches
from gcsl_cli.training.negatives import NegativeLoss
from gcsl_cli.training.shared_prefix import branch_masks, uses_flex_attention

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.training.loop import MakeTrainer


class PlannedSFTTrainer(SFTTrainer):
    """TRL's trainer extended with branched sequences, row weights, negative rows and a rate for control tokens.

    The loss is the sum over supervised tokens of weight times negative log-likelihood, divided by the number of
    supervised tokens of the step, so weights of 1 change nothing. Weights `(sequences, tokens)` come from the classes
    of C-RLFT (arXiv 2309.11235) and from rows with several goals. (`compute_loss_func` costs a second forward pass.)
    Negative rows have no likelihood loss; `negative_loss` adds theirs, divided by the same number.
    """

    negative_loss: NegativeLoss | None = None

    control_token_learning_rate: float | None = None
    """Peak learning rate of the embeddings that PEFT trains next to LoRA; `None`: the same as for all other weights."""

    def create_optimizer(self, model: Any = None) -> Any:
        """Create the optimizer; control token embeddings get a parameter group if they have a learning rate."""
        optimizer = super().create_optimizer(model)
        if self.control_token_learning_rate is not None:
            named = (self.model if model is None else model).named_parameters()
            embeddings = {id(weight) for name, weight in named if "trainable_tokens_delta" in name}
            for group in list(optimizer.param_groups):
                moved = [weight for weight in group["params"] if id(weight) in embeddings]
                group["params"] = [weight for weight in group["params"] if id(weight) not in embeddings]
                if moved:
                    optimizer.add_param_group({**group, "params": moved, "lr": self.control_token_learning_rate})
        return optimizer

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Compute TRL's loss plus the effects of weights and negative rows.

        The branch masks replace `attention_mask` only inside the forward pass, because TRL counts tokens with the
        original mask. TRL sees the outputs without negative rows, so they count neither in its loss nor in its metrics.
        """
        names = ("weights", "pairs", "branches", "segments")
        weights, pairs, branches, segments = (inputs.pop(name, None) for name in names)
        outputs: Any = None
        all_log_probs: Any = None

        def forward(**arguments: Any) -> Any:
            nonlocal outputs, all_log_probs
            if branches is not None:
                config = self.model.config.get_text_config()
                arguments["attention_mask"] = branch_masks(config, branches, arguments["position_ids"], segments)
            if pairs is not None:
                arguments["labels"] = arguments["labels"].where(pairs >= 0, arguments["input_ids"])
            outputs = model(**arguments)
            if pairs is not None:
                all_log_probs = outputs.log_probs
                of_rows = pairs[:, 1:] >= 0
                for name in ("log_probs", "entropy", "is_top1", "label_mask"):
                    setattr(outputs, name, getattr(outputs, name) * of_rows)
            return outputs

        loss = super().compute_loss(forward, inputs, False, num_items_in_batch)
        extra: Any = 0.0
        if weights is not None:
            extra = ((1 - weights[:, 1:]) * outputs.log_probs).sum()
        if pairs is not None and self.negative_loss is not None:
            shifted = None if weights is None else weights[:, 1:]
            extra = extra + self.negative_loss(all_log_probs, pairs[:, 1:], shifted)
        if weights is not None or pairs is not None:
            tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
            extra = extra / max(int(tokens), 1)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                extra = extra * self.accelerator.num_processes
            loss = loss + extra
        return (loss, outputs) if return_outputs else loss


def sft_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    batches: PlannedBatches,
    validation: PlannedBatches | None,
    peft_config: "PeftConfig | None",
    control_token_learning_rate: float | None = None,
    negative_loss: NegativeLoss | None = None,
) -> "MakeTrainer":
    """Return a factory of trainers over planned micro-batches; plain SFTTrainer unless an extension is needed."""
    extended = batches.weighted or batches.contrasted or batches.share or control_token_learning_rate is not None
    trainer_class = PlannedSFTTrainer if extended else SFTTrainer

    def make(arguments: dict[str, Any], callbacks: list[TrainerCallback]) -> SFTTrainer:
        trainer = trainer_class(
            model=model,
            args=sft_arguments(arguments),
            train_dataset=batches.dataset(),
            eval_dataset=None if validation is None else validation.dataset(),
            data_collator=collator(model.config.get_text_config(), tokenizer.pad_token_id),
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
        )
        if isinstance(trainer, PlannedSFTTrainer):
            trainer.control_token_learning_rate = control_token_learning_rate
            trainer.negative_loss = negative_loss
        return trainer

    return make


def collator(config: "PreTrainedConfig", pad_id: int) -> PlanCollator:
    """Pad on the right, except for attention that computes sequences of different lengths in one."""
    return PlanCollator(pad_id, packed=uses_flex_attention(config), padding_free=uses_flash_attention(config))


def sft_arguments(arguments: dict[str, Any]) -> SFTConfig:
    """Build TRL's config; one dataset item is one micro-batch."""
    return SFTConfig(
        **arguments,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
