"""Rounds that make no sense are refused, with the reason and the fix."""

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import DEFAULT_MIX
from gcsl_cli.errors import ConfigError

pytestmark = pytest.mark.usefixtures("remembered_composition")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("rounds.count=0", "rounds.count=0: must be a whole number of at least 1"),
        ("rounds.keep=0", "rounds.keep=0: expected all, last, or the number of newest rounds"),
        ("rounds.keep=newest", "rounds.keep=newest: expected all, last"),
        ("rounds.keep=true", "rounds.keep=True: expected all, last"),
        ("rounds.keep=[1]", "expected all, last"),
        ("rounds.mix=3", "rounds.mix=3: expected shares by name"),
        ("rounds.mix={}", "expected shares by name"),
        ("rounds.mix={gided: 1}", "Did you mean guided? Allowed: best, guided, lower."),
        ("rounds.mix={best: x}", "best: x: a share must be a number from 0 to 1"),
        ("rounds.mix={best: 2, lower: -1}", "best: 2: a share must be a number from 0 to 1"),
        ("rounds.mix={best: .nan}", "a share must be a number from 0 to 1"),
        ("rounds.mix={best: 0.5}", "the shares sum to 0.5, but must sum to 1"),
        ("method=sft rounds.mix={best: 1}", "with method=sft, which trains without goals"),
        ("rounds.guidance=0", "must be above 0 and at most 1000"),
        ("rounds.stop.gain=-1", "rounds.stop.gain=-1.0: must be a finite number of at least 0"),
        ("rounds.stop.divergence=0", "rounds.stop.divergence=0.0: must be a finite number above 0"),
        ("rounds.count=2 rounds.start=last export.merged=false", "an adapter trained on top of another one"),
        ("rounds.count=2 rounds.start=last goal.wording=token", "control tokens of the round before"),
        ("rounds.count=2 rounds.extend=true goal.levels.by=quantile", "rounds.extend=true without fixed levels"),
        ("rounds.count=2 rounds.extend=true method=sft", "rounds.extend=true without fixed levels"),
        ("rounds.count=4 rounds.extend=true", "4 rounds may end with 6 levels, but there are 5 sentences"),
        ("rounds.count=2 rounds.extend=true goal.sentences=[a,b,c]", "(goal.sentences=[a,b,c]). Give 4, worst first."),
        ("rounds.start=first", "rounds.start=first"),
    ],
)
def test_refused(overrides: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        configs.load(split(overrides))
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        "rounds.count=3 rounds.extend=true",
        "rounds.count=3 method=dpo rounds.start=last",
        "rounds=distill",
        "rounds.guidance=0 rounds.mix={best: 0.5, lower: 0.5}",
        "rounds.start=last export.merged=false",  # of a single round
    ],
)
def test_accepted(overrides: str) -> None:
    assert configs.load(split(overrides)).rounds.count >= 1


def split(overrides: str) -> list[str]:
    """Overrides in a line; a space inside braces belongs to the value."""
    parts: list[str] = []
    for part in overrides.split(" "):
        if parts and parts[-1].count("{") > parts[-1].count("}"):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def test_a_mix_replaces_the_default() -> None:
    assert configs.load([]).rounds.shares == DEFAULT_MIX
    assert configs.load(["rounds.mix={guided: 1}"]).rounds.shares == {"guided": 1}


def test_distilling_trains_on_guided_samples_alone() -> None:
    rounds = configs.load(["rounds=distill"]).rounds

    assert (rounds.count, rounds.kept) == (2, 1)
    assert {name: share for name, share in rounds.shares.items() if share} == {"guided": 1.0}
