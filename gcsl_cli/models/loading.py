"""Load and export models and tokenizers. Weights are safetensors only; code shipped with a model never runs."""

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.data.artifacts import resolve
from gcsl_cli.errors import ArtifactError, ConfigError, first_line
from gcsl_cli.models.gguf import converted_folder
from gcsl_cli.runs.files import storage_errors

if TYPE_CHECKING:
    import torch
    from transformers import (
        BitsAndBytesConfig,
        GenerationConfig,
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

CONTEXT = "max_position_embeddings"
GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Names of the class of tokenizers that are all in `tokenizer.json`."""


def model_folder(uri: str, sha256: str | None, revision: str | None) -> Path:
    """Return the local folder of a pretrained model, fetching or converting it if necessary.

    Raises:
        ArtifactError: it cannot be fetched or is not a model.
    """
    path = resolve(uri, sha256=sha256, revision=revision)
    if path.suffix == ".gguf":
        return converted_folder(path, sha256)
    if not (path / "config.json").is_file():
        if is_adapter(path):
            raise ArtifactError(
                f"{path}: an adapter, without the model it belongs to. Train it with export.merged=true for a whole "
                "model."
            )
        raise ArtifactError(f"{path}: no config.json; expected a model folder with safetensors and a tokenizer.")
    return path


def load_config(folder: Path) -> "PreTrainedConfig":
    """Load the config of a model folder.

    Raises:
        ArtifactError: it cannot be read, or names an architecture that transformers does not know.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder}: the config cannot be loaded ({first_line(error)}).") from error


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model folder; it pads on the left and always has a pad token.

    Raises:
        ArtifactError: the folder has no usable tokenizer.
    """
    import transformers

    # The generic class needs no torch, whose import takes seconds.
    generic = _json(folder / "tokenizer_config.json").get("tokenizer_class") in GENERIC
    kind = transformers.PreTrainedTokenizerFast if generic else transformers.AutoTokenizer
    try:
        tokenizer = kind.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder}: the tokenizer cannot be loaded ({first_line(error)}).") from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    folder: Path,
    dtype: "torch.dtype | None" = None,
    *,
    on: str | None = None,
    attention: str | None = None,
    quantization: "BitsAndBytesConfig | None" = None,
    kind: str = "AutoModelForCausalLM",
) -> "PreTrainedModel":
    """Load a model in evaluation mode.

    Args:
        folder: the model folder.
        dtype: of the weights; `None`: float32.
        on: the device; `None`: the best one.
        attention: the attention implementation; `None`: the default of transformers for this model.
        quantization: how linear layers are quantized; `None`: they are not.
        kind: the class of transformers that loads it, which decides on the head.

    Raises:
        ArtifactError: the weights are not safetensors or do not match the config.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    try:
        options: dict[str, Any] = {
            "dtype": dtype or torch.float32,
            "use_safetensors": True,
            "trust_remote_code": False,
            "attn_implementation": attention,
        }
        if quantization is not None:
            options |= {"quantization_config": quantization, "device_map": {"": on or device()}}
        model, report = getattr(transformers, kind).from_pretrained(folder, **options, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the weights cannot be loaded ({first_line(error)}).") from error
    # transformers would silently initialize missing weights at random.
    missing = sorted(report["missing_keys"])
    if missing:
        raise ArtifactError(f"{folder}: {len(missing)} weights of the config are missing, starting with {missing[0]}.")
    if quantization is None:
        model = model.to(on or device())
    return model.eval()


def is_adapter(folder: Path) -> bool:
    """Return True if a folder holds a PEFT adapter instead of a model."""
    return (folder / "adapter_config.json").is_file()


def with_adapter(model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
    """Merge the PEFT adapter in `folder` into its base model, which is changed in place.

    Raises:
        ArtifactError: the adapter cannot be read or is not one of this model.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        return PeftModel.from_pretrained(model, folder).merge_and_unload().eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the adapter cannot be loaded ({first_line(error)}).") from error


def load_for_sampling(folder: Path, base: Path) -> "PreTrainedModel":
    """Load the model in `folder` in the dtype of inference; if that has an adapter, merged into the model in `base`.

    Raises:
        ArtifactError: it cannot be loaded.
    """
    if is_adapter(folder):
        return with_adapter(load_model(base, inference_dtype()), folder)
    return load_model(folder, inference_dtype())


def stored_dtype(config: "PreTrainedConfig") -> "torch.dtype":
    """Return the dtype in which a model was saved; float32 if its config does not say."""
    import torch

    return getattr(config, "dtype", None) or torch.float32


def device() -> str:
    """Return the best available device: `cuda`, `mps` or `cpu`."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def free_memory() -> None:
    """Give GPU memory that models have left behind back to the device, for another process."""
    import torch

    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def fast_bf16() -> bool:
    """Return True if bfloat16 arithmetic is faster than float32 on this machine."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def inference_dtype() -> "torch.dtype":
    """Return bfloat16 where it is fast, float32 elsewhere."""
    import torch

    return torch.bfloat16 if fast_bf16() else torch.float32


def train_in_bf16(precision: str) -> bool:
    """Return True if training runs under bfloat16 autocast; an unknown `precision` is a `ConfigError`."""
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"train.precision={precision}: unknown; one of auto, fp32, bf16.")
    return precision == "bf16" or (precision == "auto" and fast_bf16())


def context_length(config: Any) -> int | None:
    """Return the model's context length in tokens, `None` if its config sets no limit."""
    length = getattr(config, CONTEXT, None)
    return int(length) if length else None


def saved_context_length(folder: Path) -> int | None:
    """Return what `context_length` returns for the model in `folder`."""
    stated = _json(folder / "config.json").get(CONTEXT)
    # Without torch if the file states it; otherwise the architecture may have a default.
    return stated if isinstance(stated, int) and stated > 0 else context_length(load_config(folder))


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def end_tokens(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> list[int]:
    """Return the token ids that end a text, from the tokenizer and the model's generation config."""
    return _end_tokens(tokenizer, model.generation_config)


def saved_end_tokens(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> list[int]:
    """Return what `end_tokens` returns for the model in `folder`, without loading it."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(folder)
    except OSError:  # a model without one gets it from its config
        config = GenerationConfig.from_model_config(load_config(folder))
    return _end_tokens(tokenizer, config)


def _end_tokens(tokenizer: "PreTrainedTokenizerBase", config: "GenerationConfig") -> list[int]:
    generation = getattr(config, "eos_token_id", None)
    ids = generation if isinstance(generation, list) else [generation]
    return sorted({int(id_) for id_ in [tokenizer.eos_token_id, *ids] if id_ is not None})


def export_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    chat_template: str | None,
    state: dict[str, Any] | None = None,
) -> None:
    """Save model and tokenizer for plain `transformers`; `chat_template` replaces the tokenizer's own.

    Of a PEFT model, only the adapter is saved. `state`: the weights, if `model` has only a part of them.
    """
    # PEFT would look on the Hub to find out whether it should save the embeddings too.
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    with storage_errors(folder):
        model.save_pretrained(folder, state_dict=state, **options)
        tokenizer.save_pretrained(folder)
        if chat_template is not None:
            (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
            path = folder / "tokenizer_config.json"
            settings = json.loads(path.read_text(encoding="utf-8"))
            settings.pop("chat_template", None)
            path.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
