"""Private APIs of TRL and transformers: a failure here means that a new version moved one of them."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import trl.trainer.utils as trl_utils

from gcsl_cli.models.attention import attention_of, supports_flex_attention
from gcsl_cli.training.trl_internals import head_on_supervised_positions
from tests.architectures import model
from tests.unit.goals.toy import toy_spec
from tests.unit.training.runs import batches, trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def test_trl_uses_use_triton_to_decide_where_to_compute_logits(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcsl_cli.models.loading import load_model

    devices: list[str] = []
    monkeypatch.setattr(trl_utils, "_use_triton", lambda device: devices.append(device.type), raising=False)
    monkeypatch.setattr("gcsl_cli.training.loop.head_on_supervised_positions", nullcontext)
    network = load_model(tiny_model)
    trained(network, tokenizer, batches(tokenizer, toy_spec(), steps=1), tmp_path)

    assert devices == [network.device.type], (
        "TRL no longer calls trl.trainer.utils._use_triton, so CPU training computes logits at every position and is "
        "slower: update gcsl_cli/training/trl_internals.py."
    )


def test_triton_switch_is_on_for_cpus_and_restored() -> None:
    before = trl_utils._use_triton
    with head_on_supervised_positions():
        assert trl_utils._use_triton(torch.device("cpu"))

    assert trl_utils._use_triton is before


def test_attention_implementation_is_readable() -> None:
    network = model("llama", "eager")

    assert attention_of(network.config) == "eager", "config._attn_implementation moved: update models/attention.py."
    assert supports_flex_attention(network), "model._supports_flex_attn moved: update models/attention.py."
