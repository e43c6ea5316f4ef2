"""The attention implementation: what this machine, this precision or this model cannot train with is refused."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from gcsl_cli.errors import ConfigError
from gcsl_cli.models.attention import attention_of, check_attention
from gcsl_cli.models.loading import load_model


@pytest.mark.parametrize(
    ("attention", "device", "bf16", "said"),
    [
        ("flex_attention", "cpu", True, "needs a CUDA GPU to train; this machine's device is cpu"),
        ("flash_attention_2", "mps", True, "needs a CUDA GPU to train; this machine's device is mps"),
        ("flash_attention_2", "cuda", False, "computes in bfloat16 only. Use train.precision=bf16"),
        ("flash_attention_2", "cuda", True, "Use train.attention=auto"),
    ],
)
def test_unusable_attention_is_refused(tiny_model: Path, attention: str, device: str, bf16: bool, said: str) -> None:
    """The last one because the package flash-attn is not installed here."""
    config = AutoConfig.from_pretrained(tiny_model)

    with pytest.raises(ConfigError, match=f"train.attention={attention}.*{said}"):
        check_attention(config, attention, device=device, bf16=bf16)


def test_attention_that_the_model_does_not_have_is_refused() -> None:
    """Bloom adds its position bias to the scores itself."""
    from transformers import BloomConfig

    config: Any = BloomConfig(vocab_size=16, hidden_size=8, n_layer=1, n_head=1)
    check_attention(config, "eager", device="cuda", bf16=True)

    with pytest.raises(ConfigError, match=r"train\.attention=flex_attention: Bloom"):
        check_attention(config, "flex_attention", device="cuda", bf16=True)


@pytest.mark.parametrize(("asked", "used"), [(None, "sdpa"), ("eager", "eager")])
def test_a_model_is_loaded_with_its_attention(tiny_model: Path, asked: str | None, used: str) -> None:
    check_attention(AutoConfig.from_pretrained(tiny_model), used, device="cpu", bf16=False)

    assert attention_of(load_model(tiny_model, attention=asked).config) == used
