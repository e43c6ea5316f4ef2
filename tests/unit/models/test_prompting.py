"""Tokenizing prompt, goal and completion. The tiny tokenizer has one token per byte, so tokens can be counted.

"Good text.\\n" is 11 tokens, "I wanted to" 11, " go" 3, the end of text 1 (id 1).
"""

from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.data.records import FeedbackRow
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.models.prompting import EncodedRow, Prompter
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END = 1


@pytest.fixture
def prompter(tokenizer: "PreTrainedTokenizerBase") -> Prompter:
    return Prompter(tokenizer, toy_spec(), context=30)


def ids(prompter: Prompter, text: str) -> list[int]:
    return list(prompter.tokenizer(text, add_special_tokens=False)["input_ids"])


def row(prompter: Prompter, completion: str = " go", **changes: Any) -> EncodedRow:
    return prompter.row("I wanted to", 0.9, completion, **({"finished": True, "max_length": None} | changes))


def test_plain_text(prompter: Prompter) -> None:
    assert prompter.text("I wanted to", 0.9) == "Good text.\nI wanted to"
    assert prompter.text("I wanted to", None) == "I wanted to"


def test_chat(tokenizer: "PreTrainedTokenizerBase") -> None:
    prompter = Prompter(tokenizer, toy_spec(prompt_format="chat", placement="after_prompt"))

    assert prompter.text("I wanted to", 0.0) == "<|user|>Go on: I wanted to\nBad text.<|end|><|assistant|>"
    assert prompter.prompt_ids("", None) == [2, *ids(prompter, "Go on: "), END, 3]


def test_conversation(tokenizer: "PreTrainedTokenizerBase") -> None:
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    prompt = (
        '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]'
    )

    assert prompter.text(prompt, None) == "<|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>"


def test_empty_goal_changes_no_token(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Prompt and completion have the tokens that TRL produces."""
    from trl.data_utils import is_conversational

    spec = toy_spec(texts=("", "", ""), separator="", prompt_format="chat", instruction="{prompt}")
    example = {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Ho"}]}
    assert is_conversational(example)
    prompt_ids = tokenizer.apply_chat_template(example["prompt"], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(example["prompt"] + example["completion"], return_dict=False)

    encoded = Prompter(tokenizer, spec).row("Hi", 0.9, "Ho", finished=True, max_length=None)

    assert (encoded.input_ids, encoded.prompt_tokens) == (whole, len(prompt_ids))


def test_empty_goal_changes_no_token_of_plain_text(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Prompt, completion and EOS are concatenated as in TRL."""
    spec = toy_spec(texts=("", "", ""), separator="")

    encoded = Prompter(tokenizer, spec).row("I wanted to", 0.9, " go", finished=True, max_length=None)

    prompt, whole = (tokenizer(text)["input_ids"] for text in ("I wanted to", "I wanted to go<|end|>"))
    assert (encoded.input_ids, encoded.prompt_tokens) == (whole, len(prompt))


def test_bos_token_precedes_a_plain_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.bos_token = "<|system|>"
    special = [("<|system|>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|system|> $A", special_tokens=special)
    prompter = Prompter(tokenizer, toy_spec())
    turn = [{"role": "user", "content": "Hi"}]

    text = tokenizer.apply_chat_template(turn, chat_template=prompter.template, tokenize=False)

    assert text == prompter.text("Hi", 0.9) == "<|system|>Good text.\nHi"
    assert prompter.prompt_ids("Hi", 0.9) == tokenizer("Good text.\nHi")["input_ids"]


def test_chat_completion_ends_like_a_turn_of_the_model(tokenizer: "PreTrainedTokenizerBase") -> None:
    """The template ends assistant turns with `<|system|>`; plain text ends with EOS."""
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}<|system|>{% endfor %}"

    assert Prompter(tokenizer, toy_spec(prompt_format="chat")).end == ids(Prompter(tokenizer, toy_spec()), "<|system|>")
    assert Prompter(tokenizer, toy_spec()).end == [END]


def test_chat_needs_a_chat_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = None

    with pytest.raises(ConfigError, match=r"task\.format=chat: .* no chat template. Use task\.format=plain"):
        Prompter(tokenizer, toy_spec(prompt_format="chat")).text("I wanted to", 0.9)
    with pytest.raises(ConfigError, match=r"no chat template\. The prompts are conversations, so use a model that has"):
        Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}")).text("[]", 0.9)


def test_finished_completion_is_followed_by_the_end_token(prompter: Prompter) -> None:
    encoded = row(prompter)

    assert encoded.input_ids == [*ids(prompter, "Good text.\nI wanted to go"), END]
    assert (encoded.prompt_tokens, encoded.supervised, encoded.truncated, encoded.retokenized) == (22, 4, False, False)


def test_completion_truncated_in_sampling_has_no_end_token(prompter: Prompter) -> None:
    encoded = row(prompter, finished=False)

    assert encoded.input_ids == ids(prompter, "Good text.\nI wanted to go")
    assert (encoded.supervised, encoded.truncated) == (3, False)


def test_completion_truncated_at_the_limit_has_no_end_token(prompter: Prompter) -> None:
    encoded = row(prompter, max_length=24)

    assert encoded.input_ids == ids(prompter, "Good text.\nI wanted to g")
    assert (encoded.supervised, encoded.truncated) == (2, True)


def test_losing_only_the_end_token_counts_as_truncated(prompter: Prompter) -> None:
    encoded = row(prompter, max_length=25)

    assert (encoded.supervised, encoded.truncated, encoded.input_ids[-1]) == (3, True, ids(prompter, "o")[0])


def test_context_limits_a_row(prompter: Prompter) -> None:
    """22 prompt tokens leave 8 of the context of 30."""
    encoded = row(prompter, completion=" 0123456789")

    assert (len(encoded.input_ids), encoded.supervised, encoded.truncated) == (30, 8, True)


def test_limit_inside_the_prompt_leaves_nothing_supervised(prompter: Prompter) -> None:
    encoded = row(prompter, max_length=20)

    assert (len(encoded.input_ids), encoded.prompt_tokens, encoded.supervised, encoded.truncated) == (20, 20, 0, True)


def test_empty_unfinished_completion_has_nothing_supervised(prompter: Prompter) -> None:
    assert row(prompter, completion="", finished=False).supervised == 0
    assert row(prompter, completion="").supervised == 1


def test_prompt_longer_than_the_context_is_rejected(prompter: Prompter) -> None:
    """20 tokens plus the 11 of the goal are 31."""
    with pytest.raises(
        DataError, match=r"1 of 1 prompts is too long: 'xxxx+' \(31 tokens\)\. With the goal.*context of 30"
    ):
        prompter.prompt_ids("x" * 20, 0.9)
    with pytest.raises(DataError, match="31 tokens"):
        prompter.row("x" * 20, 0.9, " go", finished=True, max_length=None)


def test_completion_needs_room_in_the_context(prompter: Prompter) -> None:
    assert len(prompter.prompt_ids("I wanted to", 0.9, room=8)) == 22
    with pytest.raises(DataError, match=r"\(22 tokens\)\. With the goal and 9 more tokens"):
        prompter.prompt_ids("I wanted to", 0.9, room=9)


def test_model_without_a_context_limit_accepts_any_length(tokenizer: "PreTrainedTokenizerBase") -> None:
    assert len(Prompter(tokenizer, toy_spec()).prompt_ids("x" * 1000, None)) == 1000


def test_tokens_do_not_merge_across_prompt_and_completion(tokenizer: "PreTrainedTokenizerBase") -> None:
    """With `ab` as a token, the tokens of `xa` are not a prefix of those of `xab`, so `b` is tokenized separately."""
    tokenizer.add_tokens(["ab"])
    prompter = Prompter(tokenizer, toy_spec())
    prompt = prompter.prompt_ids("xa", None)

    merged = prompter.row("xa", None, "b", finished=False, max_length=None)
    whole = prompter.row("x", None, "ab", finished=False, max_length=None)

    assert (merged.input_ids, merged.prompt_tokens, merged.retokenized) == ([*prompt, *ids(prompter, "b")], 2, True)
    assert (whole.input_ids, whole.prompt_tokens, whole.retokenized) == (ids(prompter, "xab"), 1, False)


def test_batch_of_rows_matches_single_rows(prompter: Prompter) -> None:
    """11 + 11 + 3 + 1; the bad goal is one token shorter; no goal is 11 less; the last row has no end token."""
    finished, cut = (FeedbackRow("I wanted to", " go", 0.0, "", "", done) for done in (True, False))
    rows, goals = [finished, finished, finished, cut], [0.9, 0.0, None, 0.9]

    encoded = prompter.rows(rows, goals, None)

    assert [len(row.input_ids) for row in encoded] == [26, 25, 15, 25]
    assert encoded == [
        prompter.row(row.prompt, goal, row.completion, finished=row.finished, max_length=None)
        for row, goal in zip(rows, goals, strict=True)
    ]
    assert [len(row.input_ids) for row in prompter.rows(rows, goals, 24)] == [24, 24, 15, 24]


def test_tokenizer_without_eos_adds_no_end_token(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.eos_token = None

    assert row(Prompter(tokenizer, toy_spec())).supervised == 3
