"""Integration tests leave the user's cache alone and compose each configuration only once."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def module_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty cache for each module; only the real model may come from the user's."""
    if request.node.get_closest_marker("real_model"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GCSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def composed_once(remembered_composition: None) -> None:
    """Composing takes a third of the time of a tiny run."""
