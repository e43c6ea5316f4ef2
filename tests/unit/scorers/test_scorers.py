"""The real scorers on texts with an undisputed order."""

import pytest

from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.wordlist import WordListScorer

KIND = ["Thank you, that was very kind of you.", "We walked along the river and talked about the weather."]
RUDE = ["You stupid fucking idiot, go to hell.", "What a piece of shit."]


def test_profanity_is_a_probability_that_is_higher_for_rude_texts() -> None:
    kind, rude = ProfanityScorer()(KIND), ProfanityScorer()(RUDE)

    assert ((kind >= 0) & (kind < 0.2)).all()
    assert ((rude > 0.8) & (rude <= 1)).all()


def test_a_text_with_a_listed_word_is_one() -> None:
    assert WordListScorer()(KIND + RUDE).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("scorer", [ProfanityScorer(), WordListScorer()], ids=lambda scorer: str(scorer.name))
def test_scorers_take_any_text(scorer: ProfanityScorer | WordListScorer) -> None:
    """No texts, empty text, other scripts: one number per text, independent of the rest of the batch."""
    odd = ["", " \n", "中文 😀", "x" * 10_000]

    assert scorer([]).shape == (0,)
    assert scorer(odd).tolist() == pytest.approx([float(scorer([text])[0]) for text in odd])
