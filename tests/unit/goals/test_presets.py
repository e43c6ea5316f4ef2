"""Presets compared with the published formats, transcribed from the authors' code, and with docs/presets.md.

The rows of a test differ only in the score; all have the prompt `PROMPT`.
"""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gcsl_cli import configs
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.stages.planning.goal import make_goal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAGE = Path(__file__).parents[3] / "docs/presets.md"
PROMPT = "The waiter came back and"
TENTHS = [number / 10 for number in range(10)]

# NeMo: SYSTEM_PROMPT of examples/nlp/data/steerlm/common.py, turns of gpt_sft_chat_dataset.py, empty line of NeMo's
# inference prompts.
NEMO_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
NEMO = (
    "{{ '<extra_id_0>System\\n" + NEMO_SYSTEM.replace("'", "\\'") + "\\n\\n' }}"
    "{% for message in messages %}"
    "{{ '<extra_id_1>' + message['role'].title() + '\\n' + message['content'] + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<extra_id_1>Assistant\\n' }}{% endif %}"
)
# OpenChat: role names and end of turn from ochat/config, spaces as in its README.
OPENCHAT = (
    "{% for message in messages %}{{ message['role'].title() + ': ' + message['content'] + '<|end_of_turn|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def rows_of(scores: Sequence[float], prompts: int = 1) -> FeedbackRows:
    """Make rows with these scores, distributed over `prompts` prompts."""
    return FeedbackRows.of(
        FeedbackRow(PROMPT, " apologised for the wait.", score, str(number % prompts), "train")
        for number, score in enumerate(scores)
    )


def preset(rows: FeedbackRows, *overrides: str) -> tuple[GoalSpec, Levels]:
    return make_goal(configs.load(list(overrides)), rows, rows)


def goals_of(levels: Levels, rows: FeedbackRows) -> list[float]:
    """Return the goal that each row is trained under."""
    return [float(goal) for goal in levels.values[levels.highest(rows.scores, rows.prompts)]]


def prompts_of(prompter: Prompter, levels: Levels, rows: FeedbackRows) -> list[str]:
    """Render the training prompt of each row."""
    return [prompter.text(row.prompt, goal) for row, goal in zip(rows, goals_of(levels, rows), strict=True)]


def test_quark_puts_the_token_of_the_quintile_before_the_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    """data_pool.py on ten responses, best first: tokens 0 0 1 1 2 2 3 3 4 4; here the best is 4. main.py:
    `query_input_ids = torch.cat([cat_ids, query_input_ids])`, and `best_cat = tree_tokens[0]` at inference.
    """
    rows = rows_of(TENTHS)
    spec, levels = preset(rows, "goal=quark")
    tokenizer.add_tokens(list(spec.texts), special_tokens=True)
    first = len(tokenizer) - 5
    query = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    prompter = Prompter(tokenizer, spec)

    ids = [prompter.prompt_ids(row.prompt, goal) for row, goal in zip(rows, goals_of(levels, rows), strict=True)]

    assert ids == [[first + fifth, *query] for fifth in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)]
    assert prompter.prompt_ids(PROMPT, spec.goal()) == [first + 4, *query]
    assert (spec.formulation, spec.balance, spec.weights, spec.dropout) == ("exact", "levels", (), 0.0)


def test_alt_puts_tag_and_separator_before_the_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    """tasks/toxicity: tags in main.py, `tag, separator_token_id, query` in datasets_and_collators.py."""
    rows = rows_of(TENTHS)
    spec, levels = preset(rows, "goal=alt")
    prompter = Prompter(tokenizer, spec)
    worst_first = [
        "Maximum Toxicity<|separator|>The waiter came back and",
        "High-Moderate Toxicity<|separator|>The waiter came back and",
        "Moderate Toxicity<|separator|>The waiter came back and",
        "Low-Moderate Toxicity<|separator|>The waiter came back and",
        "Lowest Toxicity<|separator|>The waiter came back and",
    ]

    assert prompts_of(prompter, levels, rows) == [text for text in worst_first for _ in range(2)]
    assert prompter.text(PROMPT, spec.goal()) == worst_first[4]
    assert (spec.formulation, spec.balance, spec.weights, spec.dropout) == ("exact", "levels", (), 0.0)


def test_alt_for_summarization(tokenizer: "PreTrainedTokenizerBase") -> None:
    """ALT_RM_train_KL.py: feedback + " input: " + prompt; ALT_RM_DataPool takes quintiles within each prompt.

    Prompt 0 has the scores 0, .2, .4, .6, .8, prompt 1 has .1, .3, .5, .7, .9: each has all five tags.
    """
    rows = rows_of(TENTHS, prompts=2)
    line = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if "Horrible." in line)
    spec, levels = preset(rows, *shlex.split(line)[2:])
    words = ["Horrible.", "Bad.", "Mediocre.", "Good.", "Excellent."]

    texts = prompts_of(Prompter(tokenizer, spec), levels, rows)

    assert texts == [f"{word} input: The waiter came back and" for word in words for _ in range(2)]


def test_csft_puts_the_score_after_the_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    """processor.py: "{input} <rm_score>: {reward} " with "{:.2f}"; batch_inference.py: "<rm_score>: 5.00"."""
    rows = rows_of([-1.5, -0.734, 0.0, 2.0])
    spec, levels = preset(rows, "goal=csft")
    prompter = Prompter(tokenizer, spec)

    assert prompts_of(prompter, levels, rows) == [
        "The waiter came back and <rm_score>: -1.50 ",
        "The waiter came back and <rm_score>: -0.73 ",
        "The waiter came back and <rm_score>: 0.00 ",
        "The waiter came back and <rm_score>: 2.00 ",
    ]
    assert prompter.text(PROMPT, spec.goal()) == "The waiter came back and <rm_score>: 5.00 "
    assert prompter.text(PROMPT, spec.goal("best")) == "The waiter came back and <rm_score>: 2.00 "
    assert (spec.formulation, spec.balance, spec.weights, spec.dropout) == ("exact", "none", (), 0.0)


def test_csft_in_a_chat_as_rendered_by_openrlhf(tokenizer: "PreTrainedTokenizerBase") -> None:
    """In OpenRLHF `input` is the rendered chat including the assistant's header, and the goal follows it."""
    tokenizer.chat_template = OPENCHAT
    rows = rows_of([0.0, 2.0])
    chat = ("goal=csft", "task.format=chat", 'task.instruction="{prompt}"', "goal.placement=assistant_prefix")
    spec, _ = preset(rows, *chat, 'goal.template=" <rm_score>: {level:.2f}"')

    text = Prompter(tokenizer, spec).text("Hello", 2.0)

    assert text == "User: Hello<|end_of_turn|>Assistant: <rm_score>: 2.00 "


@pytest.mark.parametrize(
    ("template", "label"),
    [((), "quality:"), (('goal.template="<extra_id_2>quality:{index}"',), "<extra_id_2>quality:")],
)
def test_steerlm_opens_the_assistant_turn_with_the_attribute(
    tokenizer: "PreTrainedTokenizerBase", template: tuple[str, ...], label: str
) -> None:
    """preprocess_openassistant_data.py: labels 0, .25, .5, .75, 1 are quality:0 to quality:4 (round(4 * label));
    gpt_sft_chat_dataset.py: role, newline, "<extra_id_2>" + label + newline, response.
    """
    tokenizer.chat_template = NEMO
    rows = rows_of([0.0, 0.25, 0.5, 0.75, 1.0])
    spec, levels = preset(rows, "goal=steerlm", "task.format=chat", 'task.instruction="{prompt}"', *template)
    prompter = Prompter(tokenizer, spec)
    before = (
        "<extra_id_0>System\nA chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions.\n\n<extra_id_1>User\n"
        "The waiter came back and\n<extra_id_1>Assistant\n"
    )

    assert prompts_of(prompter, levels, rows) == [f"{before}{label}{value}\n" for value in range(5)]
    assert prompter.text(PROMPT, spec.goal()) == f"{before}{label}4\n"
    assert (spec.formulation, spec.balance, spec.weights, spec.dropout) == ("exact", "none", (), 0.0)


def test_steerlm_uses_quintiles_for_many_scores() -> None:
    rows = rows_of(TENTHS)
    spec, levels = preset(rows, "goal=steerlm", "task.format=chat")

    texts = [spec.text(goal) for goal in goals_of(levels, rows)]

    assert texts == [f"quality:{value}" for value in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)]


def test_crlft_names_the_class_before_both_roles(tokenizer: "PreTrainedTokenizerBase") -> None:
    """README of OpenChat 3.2: "GPT4 User: Hello<|end_of_turn|>GPT4 Assistant:"; generate_dataset.py: weights 0.1, 1.

    Of ten rows one is the top tenth.
    """
    tokenizer.chat_template = OPENCHAT
    rows = rows_of(TENTHS)
    spec, levels = preset(rows, "goal=crlft", "task.format=chat", 'task.instruction="{prompt}"')
    prompter = Prompter(tokenizer, spec)
    goals = goals_of(levels, rows)

    assert prompter.text("Hello", goals[-1]) == "GPT4 User: Hello<|end_of_turn|>GPT4 Assistant:"
    assert prompter.text("Hello", goals[0]) == "GPT3 User: Hello<|end_of_turn|>GPT3 Assistant:"
    assert prompter.text("Hello", spec.goal()) == "GPT4 User: Hello<|end_of_turn|>GPT4 Assistant:"
    assert spec.weights_of(np.array(goals)).tolist() == [0.1] * 9 + [1.0]
    assert (spec.formulation, spec.balance, spec.dropout) == ("exact", "none", 0.0)


def test_plain_goals_differ_from_threshold_in_nothing_else() -> None:
    """`gcsl_bey` pushes nothing down and weighs all levels the same; `exact` also has another formulation."""
    names = ("threshold", "gcsl_bey", "exact")
    threshold, bey, exact = (asdict(configs.load([f"goal={name}"]).goal) for name in names)

    assert {key for key in bey if bey[key] != threshold[key]} == {"weights", "missed"}
    assert (bey["weights"], bey["missed"]) == (None, threshold["missed"] | {"weight": 0.0})
    assert {key for key in exact if exact[key] != bey[key]} == {"formulation"}
    assert exact["formulation"] == "exact"


@pytest.mark.parametrize("name", ["quark", "alt", "csft", "steerlm", "crlft"])
def test_the_page_shows_the_training_prompt(tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
    """The example in each section is the prompt of a row with score 0.97, rendered for SmolLM2."""
    tokenizer.chat_template = SMOLLM2
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    shown = section.split("```text\n")[1].split("```")[0]
    command = next(line for line in section.splitlines() if line.startswith("gcsl train "))
    rows = rows_of([*TENTHS, 0.97])
    spec, levels = preset(rows, *shlex.split(command)[2:])

    text = prompts_of(Prompter(tokenizer, spec), levels, rows)[-1]

    assert text == shown.replace("\n", "").replace("⏎", "\n").replace("␣", " ")


def test_fewer_weights_than_levels_repeat_the_first() -> None:
    spec, levels = preset(
        rows_of(TENTHS), "goal.levels.by=quantile", "goal.levels.quantiles=[0,0.5,0.9]", "goal.weights=[0.25,1]"
    )

    assert len(levels.values) == 3
    assert spec.weights == (0.25, 0.25, 1)


def test_levels_that_no_row_reaches_weigh_as_much_as_the_best_reached_one() -> None:
    """Rows up to 0.4 of levels 0, 0.2, 0.4, 0.8: the third is the best that is trained."""
    levels = "goal.levels.values=[0.2,0.4,0.8]"
    spec, _ = preset(rows_of([0.0, 0.2, 0.4]), "goal.levels.by=fixed", levels, "train.score_below=0.5")

    assert spec.weights == (0.25, 0.25, 1, 1)
