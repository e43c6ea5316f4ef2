"""The reward model scorer, on tiny random classifiers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.errors import ArtifactError, ConfigError
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.reward_model import RewardModelScorer

EXAMPLES = [Example("Hi", text, format="chat") for text in ("Hello!", "I do not know.", "x" * 100, "", "Hello!")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def reward(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tiny_model, tmp_path_factory.mktemp("reward"), ["reward"])


@pytest.fixture(scope="module")
def sentiment(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tiny_model, tmp_path_factory.mktemp("sentiment"), ["bad", "good"])


def classifier(tiny_model: Path, folder: Path, labels: list[str]) -> Path:
    """The tiny model with a random head for the labels."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    config = AutoConfig.from_pretrained(tiny_model, id2label=dict(enumerate(labels)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def logits(folder: Path, text: str, **options: Any) -> Any:
    """What the bare library says of one text."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", **options)).logits[0]


def test_the_output_of_a_reward_model_is_the_grade(reward: Path) -> None:
    """In batches of other texts as alone, through the chat template."""
    scorer = RewardModelScorer(uri=str(reward), dtype="fp32", batch_size=2)
    texts = [f"<|user|>Hi<|end|><|assistant|>{example.completion}<|end|>" for example in EXAMPLES]
    scorer.check()

    assert scorer.limits() is None
    assert scorer(EXAMPLES).tolist() == pytest.approx([float(logits(reward, text)[0]) for text in texts], abs=1e-5)


def test_the_probability_of_a_label_is_the_grade(sentiment: Path) -> None:
    scorer = RewardModelScorer(uri=str(sentiment), label="good", input="completion", dtype="fp32")
    found = scorer([Example("Hi", "Hello!"), Example("Ho", "Hello!")]).tolist()

    expected = float(logits(sentiment, "Hello!").softmax(0)[1])
    assert found == pytest.approx([expected, expected], abs=1e-6)
    assert scorer.limits() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "form", "text"),
    [("text", "plain", "HiHello!"), ("text", "chat", "Hi\n\nHello!"), ("completion", "chat", "Hello!")],
)
def test_the_input_is_as_configured(reward: Path, kind: str, form: str, text: str) -> None:
    scorer = RewardModelScorer(uri=str(reward), input=kind, dtype="fp32")
    found = scorer([Example("Hi", "Hello!", format=form)])

    assert found.tolist() == pytest.approx([float(logits(reward, text)[0])], abs=1e-6)


def test_a_long_input_loses_its_beginning(reward: Path) -> None:
    scorer = RewardModelScorer(uri=str(reward), input="completion", max_length=5, dtype="fp32")

    assert scorer([Example("Hi", "0123456789")]).tolist() == pytest.approx(
        [float(logits(reward, "56789")[0])], abs=1e-6
    )


def test_a_second_scorer_loads_no_model_for_the_same_completions(reward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RewardModelScorer(uri=str(reward))(EXAMPLES)
    monkeypatch.setattr("gcsl_cli.scorers.reward_model.load_model", None)

    assert RewardModelScorer(uri=str(reward), batch_size=7)(EXAMPLES).tolist() == first.tolist()


def test_a_model_that_is_not_sure_of_a_number(reward: Path, tmp_path: Path) -> None:
    """NaN weights give no grades, and no 0 either."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(reward, tmp_path / "broken")
    weights = load_file(tmp_path / "broken/model.safetensors")
    weights["score.weight"][:] = np.nan
    save_file(weights, tmp_path / "broken/model.safetensors", {"format": "pt"})
    scorer = RewardModelScorer(uri=str(tmp_path / "broken"))

    assert np.isnan(scorer(EXAMPLES[:2])).all()
    assert scorer.ungraded == {"the model's output is not a number": 2}


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("reward", {"max_length": -1}, "scorer.max_length=-1: must be a whole number of at least 1"),
        ("sentiment", {}, "has 2 labels: bad, good. Choose the one whose probability is the grade, for example scorer"),
        ("sentiment", {"label": "god"}, "scorer.label=god: no such label. Did you mean good?"),
        ("reward", {"label": "good"}, "has one output, which is the grade. Omit it."),
        ("reward", {"input": "chart"}, "scorer.input=chart: unknown. Did you mean chat?"),
        ("reward", {"dtype": "int4"}, "scorer.dtype=int4: unknown. Allowed: auto, bf16, fp32."),
        ("tiny_model", {}, "LlamaForCausalLM has no head that grades"),
    ],
)
def test_an_unusable_setting_is_explained(
    request: pytest.FixtureRequest, model: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        RewardModelScorer(uri=str(request.getfixturevalue(model)), **settings).check()
    assert said in str(error.value)


def test_weights_that_are_missing_are_not_made_up(tiny_model: Path, tmp_path: Path) -> None:
    """A language model that claims to be a classifier would get a random head."""
    shutil.copytree(tiny_model, tmp_path / "claims")
    path = tmp_path / "claims/config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "reward"}}
    path.write_text(json.dumps(config), encoding="utf-8")

    with pytest.raises(ArtifactError, match=r"1 weights of the config are missing, starting with score\.weight"):
        RewardModelScorer(uri=str(tmp_path / "claims"))(EXAMPLES)


def test_without_a_template_there_is_no_chat(reward: Path, tmp_path: Path) -> None:
    shutil.copytree(reward, tmp_path / "plain")
    (tmp_path / "plain/chat_template.jinja").unlink()

    with pytest.raises(ConfigError, match=r"has no chat template\. Use text, pair or completion"):
        RewardModelScorer(uri=str(tmp_path / "plain"), input="chat")(EXAMPLES)
    text = "Hi\n\nHello!"
    grade = RewardModelScorer(uri=str(tmp_path / "plain"), dtype="fp32")(EXAMPLES[:1])
    assert grade.tolist() == pytest.approx([float(logits(reward, text)[0])], abs=1e-6)
