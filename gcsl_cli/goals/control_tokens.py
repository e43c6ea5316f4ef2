"""Control tokens: added tokens that name a level, with embeddings initialized from the words of the level.

The model reads them in prompts and never produces them: generation suppresses them, and the output head of a saved
model is untied from the embeddings and has rows for them that make them improbable.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.wording import control_tokens

PUSH = 50.0
"""Nats that the logit of a control token loses in an average context."""
PROBES = 128
"""Tokens from all over the vocabulary."""

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def add_tokens(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[int]:
    """Add the control tokens in `texts` to the tokenizer as special tokens; return their ids.

    Raises:
        ConfigError: the tokenizer already has a token with one of the names.
    """
    from tokenizers import AddedToken

    known, names = tokenizer.get_vocab(), [name for text in texts for name in control_tokens(text)]
    for name in names:
        if name in known:
            raise ConfigError(
                f"goal.wording=token: the model's tokenizer already has a token {name!r}; was the model trained by "
                "gcsl? Start from the original model, or use goal.wording=language."
            )
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    return [int(id_) for id_ in tokenizer.convert_tokens_to_ids(names)]


def extend_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    words: Sequence[str],
    *,
    untie: bool,
) -> None:
    """Resize the model for the control tokens and initialize their embeddings.

    The tokens of a level's words are divided, in order, among the level's control tokens, and each control token starts
    from the mean of its part: a single control token from the mean of all, as many control tokens as words have tokens
    from one each.

    Args:
        model: changed in place.
        tokenizer: with the control tokens added.
        texts: control tokens of each level, as one string per level.
        words: the words that each level's tokens stand for.
        untie: give the output head separate weights if it shares the embeddings, so that an adapter can train the new
            embeddings without touching the head. Full fine-tuning keeps them tied.
    """
    import torch

    if untie:
        _untie(model)
    if model.get_input_embeddings().weight.shape[0] < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    level_ids = [tokenizer.convert_tokens_to_ids(control_tokens(text)) for text in texts]
    ids = [id_ for of_level in level_ids for id_ in of_level]
    embeddings = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        old = embeddings[: min(ids)].float()
        for of_level, phrase in zip(level_ids, words, strict=True):
            word_ids = tokenizer(phrase, add_special_tokens=False)["input_ids"]
            for id_, part in zip(of_level, _split(word_ids, len(of_level)), strict=True):
                embeddings[id_] = old[part].mean(dim=0).to(embeddings.dtype)
        if head is not embeddings:
            head[ids] = head[: min(ids)].float().mean(dim=0).to(head.dtype)
    model.generation_config.suppress_tokens = ids


def quiet_head(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], words: Sequence[str]
) -> None:
    """Make control tokens improbable in every context, for servers that do not read `suppress_tokens`.

    Most architectures have no bias in the output head, so no weights exclude a token for certain. The mean of all other
    rows bounds its probability by one over their number in any context (Jensen's inequality). Hidden states of trained
    models have a direction in common, along which `PUSH` nats are taken off, if states of tokens from all over the
    vocabulary agree with it.

    Args:
        model: a whole model, changed in place; its output head no longer shares the embeddings.
        tokenizer: with the control tokens added.
        texts: control tokens of each level, as one string per level.
        words: the words that each level's tokens stand for; the direction is the mean of their hidden states.
    """
    import torch

    _untie(model)
    ids = tokenizer.convert_tokens_to_ids(control_tokens("".join(texts)))
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        others = torch.ones(len(head), dtype=torch.bool, device=head.device)
        others[ids] = False
        row = head[others].float().mean(dim=0)
        spoken = torch.tensor(tokenizer(" ".join(words), add_special_tokens=False)["input_ids"])
        direction = _states(model, spoken).mean(dim=0)
        probes = _states(model, torch.linspace(0, min(ids) - 1, PROBES).long())
        if bool((probes @ direction > 0).all()):
            row = row - PUSH * direction / direction.square().sum()
        head[ids] = row.to(head.dtype)


def _states(model: "PreTrainedModel", ids: "torch.Tensor") -> "torch.Tensor":
    """Last hidden states of a text, `(tokens - 1, width)`: the first token's is often unlike all others."""
    training = model.training
    states: torch.Tensor = model.eval().base_model(ids[None].to(model.device), use_cache=False).last_hidden_state
    model.train(training)
    return states[0, 1:].float()


def _split(ids: Sequence[int], count: int) -> list[Sequence[int]]:
    """Split into `count` contiguous parts of about equal length; with fewer ids than parts, parts repeat ids."""
    starts = [part * len(ids) // count for part in range(count + 1)]
    return [ids[start : max(end, start + 1)] for start, end in pairwise(starts)]


def _untie(model: "PreTrainedModel") -> None:
    import torch

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embeddings.weight:
        head.weight = torch.nn.Parameter(embeddings.weight.detach().clone())
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.tie_word_embeddings = False
    model.all_tied_weights_keys = {}
