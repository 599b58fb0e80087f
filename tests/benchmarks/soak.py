"""The soak test for as long as one likes: swaps, kills and cuts under load, and what was seen.

    python -m tests.benchmarks.soak --seconds 300 --kill-every 20 --swap-every 15 --cut-every 100

Everything that was acknowledged must be in the log, nothing twice, and no answer of two versions.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from mlkit import open_workspace
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores
from tests.conftest import PREPARE, make_flights
from tests.production.scenes import NAME, RIDGE, STUMP, frozen, publish
from tests.production.service.soaking import soak


def main() -> int:
    """Run it and print what was seen; 1 if something was lost or mixed."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seconds", 300), ("kill-every", 20), ("swap-every", 15), ("cut-every", 100)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        sys.path.insert(0, name)
        Path("my_prepare.py").write_text(PREPARE)
        os.environ.update(MLKIT_HOME=f"{name}/.mlkit", MLKIT_TARGET="local")
        stores = Stores(open_workspace(home=Path(name) / ".mlkit"), NAME)
        publish(stores.engine, make_flights())
        for model in (STUMP, RIDGE):
            deploy(frozen(model=model), stores)
        cuts = [number * given.cut_every for number in range(1, int(given.seconds / given.cut_every) + 1)]
        seen = soak(
            stores,
            seconds=given.seconds,
            swap_every=given.swap_every,
            kill_every=given.kill_every,
            cut_at=[cut - 1 for cut in cuts],
            clients=given.clients,
            workers=given.workers,
        )
    return _report(seen, given.seconds)


def _report(seen, seconds) -> int:
    lost, extra = set(seen.acknowledged) - set(seen.logged), set(seen.logged) - set(seen.acknowledged)
    twice = len(seen.logged) - len(set(seen.logged))
    times = statistics.quantiles(seen.seconds, n=100)
    print(f"acknowledged {len(seen.acknowledged):,} ({len(seen.acknowledged) / seconds:.0f} a second)")
    print(f"logged {len(seen.logged):,}: {len(lost)} lost, {twice} twice, {len(extra)} not acknowledged")
    print(f"broken or refused {dict(seen.refused)}; of versions {dict(seen.versions)}; {seen.mixed} mixed")
    print(f"{seen.swaps} swaps, {seen.kills} kills, {seen.cuts} cuts; counts {seen.counts}")
    print(f"p50 {times[49] * 1e3:.1f} ms, p99 {times[98] * 1e3:.1f} ms")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process {peak:.0f} MB")
    return int(bool(lost or twice or seen.mixed or seen.misnamed))


if __name__ == "__main__":
    sys.exit(main())
