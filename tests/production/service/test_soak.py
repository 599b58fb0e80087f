"""A service under load: swaps, kills and a cut change no answer and lose none that was given."""

from __future__ import annotations

import pytest

from mlkit.production.runner import deploy
from tests.production.scenes import RIDGE, STUMP, frozen
from tests.production.service.soaking import soak


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_acknowledged_is_logged_and_every_answer_is_of_one_version(stores):
    """What was under way in a worker that died may be logged without having been answered; nothing twice."""
    for model in (STUMP, RIDGE):
        deploy(frozen(model=model), stores)
    seen = soak(stores, seconds=12, swap_every=2, kill_every=5, cut_at=[3.5], clients=2)
    assert (seen.mixed, seen.misnamed) == (0, 0)
    logged, acknowledged, sent = set(seen.logged), set(seen.acknowledged), set(seen.sent)
    assert len(seen.logged) == len(logged)
    assert acknowledged <= logged <= sent
    assert len(logged - acknowledged) <= seen.refused[0]
    assert set(seen.versions) == {1, 2}
    assert min(seen.swaps, seen.kills, seen.cuts) >= 1
    assert seen.counts == (len(logged), len(logged), 0)
