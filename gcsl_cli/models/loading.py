"""Policy, reference model and tokenizer: load and save. Weights are safetensors; code of a model source never runs."""

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.data.artifacts import cache_dir, resolve
from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.runs.files import storage_errors
from gcsl_cli.runs.locks import locked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger("gcsl")


def model_folder(uri: str, sha256: str | None, revision: str | None) -> Path:
    """The local folder of a pretrained model; a GGUF file is converted once, into the cache.

    Raises:
        ArtifactError: it cannot be fetched, or is no model.
    """
    path = resolve(uri, sha256=sha256, revision=revision)
    if path.suffix == ".gguf":
        return _converted(path, sha256 or _fingerprint(path))
    if not (path / "config.json").is_file():
        raise ArtifactError(f"{path}: no config.json in it; expected a model folder with safetensors and a tokenizer.")
    return path


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, padding on the left, with a pad token."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder}: its tokenizer cannot be loaded ({_first_line(error)}).") from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """A causal language model from a folder, in evaluation mode, on the best device; `dtype` None is float32.

    Raises:
        ArtifactError: its weights are no safetensors or do not fit its config.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype or torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: its weights cannot be loaded ({_first_line(error)}).") from error
    # transformers would go on with random numbers in their place.
    missing = sorted(report["missing_keys"])
    if missing:
        raise ArtifactError(f"{folder}: {len(missing)} weights of its config are missing, {missing[0]} first.")
    return model.to(device()).eval()


def device() -> str:
    """`cuda`, `mps` or `cpu`: the best that there is."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_bf16() -> bool:
    """Whether bfloat16 arithmetic is quicker than float32 here."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def inference_dtype() -> "torch.dtype":
    """bfloat16 where it is quick, else float32."""
    import torch

    return torch.bfloat16 if fast_bf16() else torch.float32


def train_in_bf16(precision: str) -> bool:
    """Whether training runs under bfloat16 autocast.

    Raises:
        ConfigError: `precision` is unknown.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"train.precision={precision}: unknown; one of auto, fp32, bf16.")
    return precision == "bf16" or (precision == "auto" and fast_bf16())


def context_length(config: Any) -> int | None:
    """Tokens that the model can take, `None` where its config names no limit."""
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if length else None


def end_tokens(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> list[int]:
    """The token ids that end a text: the tokenizer's and those of the model's generation config."""
    generation = getattr(model.generation_config, "eos_token_id", None)
    listed = generation if isinstance(generation, list) else [generation]
    return sorted({int(id_) for id_ in [tokenizer.eos_token_id, *listed] if id_ is not None})


def _fingerprint(path: Path) -> str:
    """Another name for a file of another place, size or time."""
    stat = path.stat()
    return hashlib.sha256(f"{path.absolute()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()


def _converted(gguf: Path, name: str) -> Path:
    """A GGUF file as a safetensors folder in the cache.

    `from_pretrained(gguf_file=...)` takes 20 s each time and its result refuses `save_pretrained` because it counts as
    quantized; a model made from its config takes the same weights and can be saved.
    """
    target = cache_dir() / "converted" / f"{gguf.stem}-{name[:16]}"
    with storage_errors(target), locked(target.with_suffix(".lock"), f"converting {gguf.name}"):
        if (target / "config.json").is_file():
            return target
        log.info("converting %s to safetensors (once)", gguf.name)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _convert(gguf, partial)
            partial.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{gguf}: cannot be read as GGUF ({_first_line(error)}).") from error
    config = loaded.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def export_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, chat_template: str | None
) -> None:
    """Save model and tokenizer as plain `transformers` reads them; `chat_template` takes the tokenizer's place."""
    with storage_errors(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if chat_template is not None:
            (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
            path = folder / "tokenizer_config.json"
            settings = json.loads(path.read_text(encoding="utf-8"))
            settings.pop("chat_template", None)
            path.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
