"""`gcsl chat`: answers of an exported model under a goal, streamed, with the conversation so far."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.errors import ConfigError, DataError, RunError
from gcsl_cli.generation.sampling import Sampling, sample_prompts
from gcsl_cli.goals.spec_file import save_spec
from gcsl_cli.models.loading import export_model
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.runs.folders import Folder
from gcsl_cli.stages.chat import Chat, ChatSettings
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHORT = ChatSettings(max_new_tokens=8)


@pytest.fixture
def make_run(policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path) -> Any:
    """Write the folder of a trained run; returns the chat with it and the prompter of its training."""

    def make(**spec: Any) -> tuple[Chat, Prompter]:
        prompter, path = Prompter(tokenizer, toy_spec(**spec)), tmp_path / "run"
        folder = Folder(path, "training", {})
        with folder.working():
            save_spec(prompter.spec, path)
            export_model(policy, tokenizer, path / "model", prompter.template)
            folder.finish("model")
        return Chat(path), prompter

    return make


def ask(chat: Chat, text: str, settings: ChatSettings = SHORT) -> tuple[str, list[str]]:
    pieces: list[str] = []
    return chat.ask(text, settings, pieces.append), pieces


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("goal", [None, "worst", 0.5, "none"])
def test_an_answer_is_what_generation_samples(make_run: Any, goal: Any, guidance: float) -> None:
    """The same tokens under the same goals and seed; in pieces, the text is the same."""
    chat, prompter = make_run()
    spec = prompter.spec
    goals = [None if goal == "none" else spec.goal(goal), *([spec.worst] if guidance else [])]
    ids, *against = [prompter.prompt_ids("I wanted to", one) for one in goals]
    sampling = Sampling(1, 8, 1.0, 0.9, guidance, 1)
    expected = sample_prompts(chat.model, chat.tokenizer, [ids], against or None, chat.ends, sampling, 0)

    answer, pieces = ask(chat, "I wanted to", ChatSettings(goal, guidance, max_new_tokens=8))

    assert answer == expected[0][0].text
    assert "".join(pieces) == answer


def test_plain_texts_are_continued_one_by_one_with_seeds_of_their_own(make_run: Any) -> None:
    chat, _ = make_run()
    answers = [ask(chat, "I wanted to")[0] for _ in range(3)]
    chat.forget()

    assert len(set(answers)) > 1
    assert ask(chat, "I wanted to")[0] == answers[0]


def test_a_chat_model_sees_the_conversation_and_the_goal_in_its_last_turn(
    make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, _ = make_run(prompt_format="chat", instruction="{prompt}")
    first, _ = ask(chat, "Hi")
    seen: list[list[dict[str, str]]] = []

    def encoded(turns: list[dict[str, str]], *_: Any) -> list[list[int]]:
        seen.append(turns)
        return [[5]]

    monkeypatch.setattr(chat, "_encoded", encoded)

    ask(chat, "And now?")

    assert [turn["content"] for turn in seen[0]] == ["Hi", first, "And now?"]


def test_the_oldest_exchanges_make_room(make_run: Any) -> None:
    chat, _ = make_run(prompt_format="chat", instruction="{prompt}")
    ask(chat, "a" * 30)
    whole = len(chat._encoded([*chat.turns, {"role": "user", "content": "b"}], ["best"], 8)[0])
    chat.context = whole + 7

    ask(chat, "b")

    ids = chat._encoded([*chat.turns[-2:-1]], ["best"], 8)[0]
    assert len(ids) < whole
    chat.context = 10
    with pytest.raises(DataError, match="exceed the model's context of 10 tokens"):
        ask(chat, "b")


def test_goals_are_listed_with_their_wording(make_run: Any) -> None:
    chat, prompter = make_run()

    assert chat.goals() == [
        (name, text) for name, text in zip(("worst", "0.5", "best", "none"), (*prompter.spec.texts, ""), strict=True)
    ]


@pytest.mark.parametrize("goal", ["bset", "0.7"])
def test_an_unknown_goal_is_refused(make_run: Any, goal: str) -> None:
    chat, _ = make_run()
    with pytest.raises(ConfigError, match=f"target={goal}"):
        ask(chat, "x", ChatSettings(goal))


@pytest.mark.parametrize("goal", ["helpfulness=best,verbosity", "verbosity=1,verbosity=2", "verbosity=1,"])
def test_a_goal_of_several_scores_names_each_once(make_run: Any, goal: str) -> None:
    chat, _ = make_run()
    with pytest.raises(ConfigError, match=f"{goal}: not a goal. Name each score once: NAME=LEVEL,NAME=LEVEL."):
        chat.argument(goal)


def test_text_that_is_not_unicode_is_refused(make_run: Any) -> None:
    chat, _ = make_run()
    with pytest.raises(DataError, match="not valid UTF-8"):
        ask(chat, "caf\udce9")


def test_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the folder of a trained run"):
        Chat(tmp_path)


def test_a_damaged_model_is_refused(make_run: Any) -> None:
    chat, _ = make_run()
    template = chat.folder / "model" / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8") + " ", encoding="utf-8")

    with pytest.raises(RunError, match="is damaged"):
        Chat(chat.folder)


def test_a_run_that_was_moved_still_answers(make_run: Any, tmp_path: Path) -> None:
    chat, _ = make_run()
    answer, _ = ask(chat, "I wanted to")
    shutil.move(chat.folder, tmp_path / "elsewhere")

    assert ask(Chat(tmp_path / "elsewhere"), "I wanted to")[0] == answer
