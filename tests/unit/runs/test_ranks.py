"""A process that is alone leads and asks nobody; the order of calls between two is in the integration tests."""

import pytest

from gcsl_cli.runs import ranks


def test_alone() -> None:
    assert (ranks.count(), ranks.rank(), ranks.leads()) == (1, 0, True)
    assert ranks.agree("x") == "x"
    assert ranks.highest(2) == 2
    ranks.follow({})
    ranks.dismiss()


def test_a_launcher_numbers_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")

    assert (ranks.count(), ranks.rank(), ranks.leads()) == (4, 3, False)


def test_followers_do_what_is_called_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(["trial", "training", ""])
    monkeypatch.setattr(ranks, "agree", lambda _: next(calls))
    done: list[str] = []

    ranks.follow({"training": lambda: done.append("training"), "trial": lambda: done.append("trial")})

    assert done == ["trial", "training"]


def test_ranks_at_work_are_not_dismissed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the middle of training: a call would never be answered."""
    called: list[str] = []
    monkeypatch.setattr(ranks, "agree", called.append)
    monkeypatch.setattr(ranks, "_together", False)

    with ranks.together("training"):
        pass
    ranks.dismiss()
    with pytest.raises(KeyError), ranks.together("training"):
        raise KeyError
    ranks.dismiss()

    assert called == ["training", "", "training"]
