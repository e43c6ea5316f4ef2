"""Convert GGUF files to safetensors folders, once per file, in the cache."""

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

from gcsl_cli.data.artifacts import cache_dir
from gcsl_cli.errors import ArtifactError, first_line
from gcsl_cli.runs.files import storage_errors
from gcsl_cli.runs.locks import locked

log = logging.getLogger("gcsl")


def converted_folder(gguf: Path, sha256: str | None) -> Path:
    """Return the cached safetensors folder of a GGUF file, converting the file on first use.

    Loading a GGUF file takes about 20 s, and `transformers` refuses to save the result because it counts as quantized.
    A model built from its config accepts the same weights and can be saved. `sha256` is the checksum of the file or of
    its archive; without one, path, size and modification time identify the file.

    Raises:
        ArtifactError: the file cannot be read as GGUF.
    """
    target = cache_dir() / "converted" / f"{gguf.stem}-{(sha256 or _fingerprint(gguf))[:16]}"
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


def _fingerprint(path: Path) -> str:
    stat = path.stat()
    return hashlib.sha256(f"{path.absolute()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{gguf}: cannot be read as GGUF ({first_line(error)}).") from error
    config = quantized.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantized.state_dict())
    model.generation_config = quantized.generation_config
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
