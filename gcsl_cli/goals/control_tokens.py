"""Control tokens: one added token a level or several, whose embeddings start from the words that name the level.

They are read in prompts and never produced: generation suppresses them, and their output rows, where a model has a head
of its own, are the mean of all rows, so that they take no probability from the words.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.wording import control_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def add_tokens(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[int]:
    """Add what the levels' texts are made of as tokens that text is never split into otherwise; returns their ids.

    Raises:
        ConfigError: the tokenizer has a token of that name already.
    """
    from tokenizers import AddedToken

    known, names = tokenizer.get_vocab(), [name for text in texts for name in control_tokens(text)]
    for name in names:
        if name in known:
            raise ConfigError(
                f"goal.wording=token: the model's tokenizer has a token {name!r} already; was the model trained by "
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
    """Give the control tokens of each level's text embeddings: those of the tokens of its `words`, shared out in order.

    The only token of a level has their mean; of as many tokens as the words have, each has one.

    `untie` gives the output head weights of its own where it shares the embeddings, so that an adapter can train the
    new rows without touching the head. Full fine-tuning keeps them tied, as the model was made.
    """
    import torch

    if untie:
        _untie(model)
    if model.get_input_embeddings().weight.shape[0] < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    of_levels = [tokenizer.convert_tokens_to_ids(control_tokens(text)) for text in texts]
    ids = [id_ for of_level in of_levels for id_ in of_level]
    embeddings = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        old = embeddings[: min(ids)].float()
        for of_level, phrase in zip(of_levels, words, strict=True):
            of_words = tokenizer(phrase, add_special_tokens=False)["input_ids"]
            for id_, part in zip(of_level, _shared_out(of_words, len(of_level)), strict=True):
                embeddings[id_] = old[part].mean(dim=0).to(embeddings.dtype)
        if head is not embeddings:
            head[ids] = head[: min(ids)].float().mean(dim=0).to(head.dtype)
    model.generation_config.suppress_tokens = ids


def _shared_out(ids: Sequence[int], count: int) -> list[Sequence[int]]:
    """`count` parts of about equal length, in order; of fewer ids than parts, some are in several."""
    starts = [place * len(ids) // count for place in range(count + 1)]
    return [ids[start : max(end, start + 1)] for start, end in pairwise(starts)]


def _untie(model: "PreTrainedModel") -> None:
    import torch

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embeddings.weight:
        head.weight = torch.nn.Parameter(embeddings.weight.detach().clone())
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.tie_word_embeddings = False
    model.all_tied_weights_keys = {}
