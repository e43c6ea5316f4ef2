"""Tasks whose rows can have several scores, which `task.scores` names."""


class NamedScores:
    """A task whose rows have the scores that `scores` names; if empty, a single one."""

    scores: list[str]

    @property
    def scores_key(self) -> dict[str, list[str]]:
        """What several scores add to identities; nothing if there is one."""
        return {"scores": self.scores} if self.scores else {}
