"""TRL's preference trainers on planned examples that are tokenized already.

The reference model is the starting model: under an adapter the same weights with the adapter switched off, so that no
second copy is needed; in full fine-tuning a frozen copy.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.methods.base import TrainerInputs

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from gcsl_cli.training.loop import MakeTrainer


def preference_trainer(trainer_class: Any, config_class: Any, inputs: TrainerInputs, **settings: Any) -> "MakeTrainer":
    """Return a function that builds a TRL trainer with a reference model (DPOTrainer, KTOTrainer, ...).

    `settings` are fields of `config_class`, for instance `beta`.
    """

    class PlannedTrainer(trainer_class):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # tokenized, and in the order of the plan

    def make(arguments: dict[str, Any], callbacks: "list[TrainerCallback]") -> Any:
        return PlannedTrainer(
            model=inputs.model,
            ref_model=inputs.load_reference(),
            args=config_class(
                **arguments,
                per_device_train_batch_size=inputs.micro_batch_size,
                per_device_eval_batch_size=inputs.micro_batch_size,
                **settings,
            ),
            train_dataset=inputs.train,
            eval_dataset=inputs.validation,
            processing_class=inputs.tokenizer,
            peft_config=inputs.peft_config,
            callbacks=callbacks,
        )

    return make
