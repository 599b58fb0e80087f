"""Kill -9 at every failpoint: running again ends as if nothing had happened."""

from __future__ import annotations

import pytest

from tests.production.scenes import NAME, frozen, state

PUBLISH = ("publish.staged", "publish.verified", "publish.renamed")
TRAIN = ("snapshot.published", "train.fitted", "train.model_created", "train.model_uploaded", "train.stored")
AFTER = ("register.done", "promote.ledger", "promote.alias", "refresh.done")


@pytest.mark.parametrize("point",[*PUBLISH,*TRAIN,"evaluate.published","gate.recorded",*AFTER])
def test_x(point, stores, children, saved):
    config=frozen()
    code, answer = children.run("deploy", saved(config), fail=f"{point}:kill")
    assert code==-9, answer
    code, answer = children.run("deploy", saved(config))
    assert code == 0
    print(answer["outcome"]); print(state(stores))
