"""The sampler of an experiment's models, by `generation.backend`."""

from pathlib import Path

from gcsl_cli.configs.choices import SamplingBackend
from gcsl_cli.configs.schema import Config
from gcsl_cli.generation.backends.base import Sampler
from gcsl_cli.generation.backends.hf import HfSampler
from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.generation.backends.vllm_sampler import VllmSampler
from gcsl_cli.models.loading import (
    free_memory,
    inference_dtype,
    is_adapter,
    load_model,
    saved_end_tokens,
    with_adapter,
)
from gcsl_cli.stages.experiment import Experiment


def check_backend(config: Config) -> None:
    """Make sure, before training, that the backend can be used.

    Raises:
        ConfigError, DependencyError: vLLM cannot be used.
    """
    if config.generation.backend is SamplingBackend.vllm:
        _environment(config).check()


def sampler_of(experiment: Experiment, *, trained: bool) -> Sampler:
    """The sampler of the trained or of the base model; inside a block of `experiment.engines.kept`."""
    config = experiment.config.generation
    if config.backend is SamplingBackend.hf:
        return HfSampler(experiment.policy if trained else experiment.base_model, experiment.tokenizer)
    model = _whole_model(experiment) if trained else experiment.base_path
    free_memory()
    return VllmSampler(
        experiment.engines,
        _environment(experiment.config),
        model,
        str(inference_dtype()).removeprefix("torch."),
        experiment.context,
        experiment.tokenizer,
        saved_end_tokens(experiment.tokenizer, model),
        config.vllm.engine,
    )


def _environment(config: Config) -> VllmEnvironment:
    return VllmEnvironment(config.generation.vllm.python, config.generation.vllm.any_version)


def _whole_model(experiment: Experiment) -> Path:
    """The folder of the trained model; of an adapter, that of a copy that is merged into its base."""
    folder = experiment.policy_path
    if not is_adapter(folder):
        return folder

    def merge(target: Path) -> None:
        model = load_model(experiment.base_path, inference_dtype(), on="cpu")
        with_adapter(model, folder).save_pretrained(target)

    return experiment.engines.folder(folder, merge)
