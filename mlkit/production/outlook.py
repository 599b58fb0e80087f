"""What a deployment would find and leave behind; it reads the stores and writes nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mlkit.console import duration
from mlkit.engines.base import TRAINING
from mlkit.errors import MlkitError
from mlkit.production.plan import Outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.production.build import Build
    from mlkit.production.ledger import Entry
    from mlkit.production.plan import Plan
    from mlkit.production.stores import Stores


def look_ahead(plan: Plan, build: Build, stores: Stores, head: Entry | None) -> Outlook:
    """What would be stored and moved by a deployment that follows a plan.

    Args:
        plan: What kind of deployment it would be.
        build: Rows and digests of the config.
        stores: Where to.
        head: The ledger's head.
    """
    if plan.kind == "nothing":
        return Outlook()
    needs = (f"the contract of {build.config.source} holds", *_last_time(stores, head))
    if plan.kind == "secondary":
        return Outlook(creates=("ledger entry",), needs=needs)
    there = {table.name for table in stores.engine.tables(TRAINING, prefix=f"{plan.model}__")}
    rows = dict(zip(("train", "test"), build.rows, strict=True))
    stored = [part for part in ("train", "test") if build.table(part).name in there]
    new = [f"{part} {count:,} rows" for part, count in rows.items() if part not in stored]
    return Outlook(
        creates=(*new, "test_predictions", "model version"),
        reuses=tuple(f"{part} {rows[part]:,} rows" for part in stored),
        tables=len(new) + 1,
        moves=_moves(build, stores, head),
        needs=needs,
    )


def _moves(build: Build, stores: Stores, head: Entry | None) -> str:
    gate, config = build.config.gate, build.config
    rules = []
    if gate.threshold is not None:
        sign = "<=" if config.metric_spec.direction == "minimize" else ">="
        rules.append(f"{config.metric} {sign} {gate.threshold:g}")
    if head is None:
        return f"champion none -> first version   {_only_if(rules)}"
    by = f" by more than {gate.min_improvement:g}" if gate.min_improvement else ""
    rules.append(f"better than v{head.to_version}{by} on the same rows")
    return f"champion v{head.to_version} -> new version   {_only_if(rules)}{_known_score(stores, head)}"


def _only_if(rules: Sequence[str]) -> str:
    return f"only if {' and '.join(rules)}" if rules else "whatever it scores: the gate asks for nothing"


def _known_score(stores: Stores, head: Entry) -> str:
    """What the champion scored when it was judged, if that is still on record."""
    with contextlib.suppress(MlkitError):
        score = stores.decisions.behind(head, stores.ledger.entries()).record["scores"]["candidate"]
        return f" (v{head.to_version} had {score:.6g} when promoted)" if score is not None else ""
    return ""


def _last_time(stores: Stores, head: Entry | None) -> list[str]:
    """How long the deployment of the champion took, if its run is still there."""
    with contextlib.suppress(MlkitError):
        metrics = stores.tracking.run(head.run_id).metrics if head else {}
        seconds = sum(value for name, value in metrics.items() if name.startswith("seconds_"))
        return [f"the last primary took {duration(seconds)}"] if seconds else []
    return []
