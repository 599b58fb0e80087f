"""The flusher: takes finished segments into the prediction log, each exactly once.

A process of its own, for its work would take the time of whoever answers requests. It may be killed at any
point and several may run: a segment belongs to whoever holds its lock, the log takes each by its name once,
and only what the log and the counts hold is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from mlkit.console import say
from mlkit.errors import DataError, MlkitError, StoreError
from mlkit.failpoints import failpoint
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.service.segments import ASIDE, claimed, finished, remove_drafts
from mlkit.production.serving_counts import Slot, add_counts, slots_of
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.engines.base import Engine
    from mlkit.production.service.segments import Contents
    from mlkit.workspace import Workspace

EVERY_SECONDS = 2.0
_LONGEST_SECONDS = 60.0


class Flushed(NamedTuple):
    """What one round did: segments and rows that are in the log now, and segments that wait."""

    segments: int = 0
    rows: int = 0
    waiting: int = 0


def flush_segments(engine: Engine, project: str, folder: Path) -> Flushed:
    """Take every finished segment of a folder into the log.

    A segment whose content is damaged, or refused by the log for good, is put aside with what it still
    holds taken in as far as that goes.

    Raises:
        StoreError: The store is away; what is left stays where it is.
    """
    remove_drafts(folder)
    done = Flushed()
    for path in finished(folder):
        with contextlib.ExitStack() as held:
            contents = _claim(held, path)
            if contents is None:
                done = done._replace(waiting=done.waiting + 1)
                continue
            rows = _take_in(engine, project, path, contents)
            done = done._replace(segments=done.segments + 1, rows=done.rows + rows)
    return done


def run_flusher(
    engine: Engine, project: str, folder: Path, *, stop: threading.Event, seconds: float = EVERY_SECONDS
) -> None:
    """Flush until told to stop, and then once more; a store that is away is asked again, less often."""
    wait = seconds
    while True:
        last = stop.wait(wait)
        try:
            flush_segments(engine, project, folder)
        except MlkitError as exc:
            say(f"predictions wait for the log: {exc}")
            wait = min(wait * 2, _LONGEST_SECONDS)
        else:
            wait = seconds
        if last:
            return


def start_flusher(workspace: Workspace, project: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start the flusher as a process of its own, which ends after this one, however that ends.

    It waits for the end of its standard input: close that, or die, and it flushes a last time.
    """
    words = [workspace.target, str(workspace.home), str(workspace.config or ""), project, str(folder)]
    command = [sys.executable, "-m", "mlkit.production.service.flusher", *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own


def main(words: Sequence[str] | None = None) -> None:
    """What the process of `start_flusher` runs."""
    parser = argparse.ArgumentParser(prog="mlkit-flusher")
    for name in ("target", "home", "config", "project", "folder"):
        parser.add_argument(name)
    given = parser.parse_args(words)
    workspace = open_workspace(given.target, home=given.home, config=given.config or None)
    stop = threading.Event()
    threading.Thread(target=_until_closed, args=(stop,), daemon=True).start()
    run_flusher(workspace.engine, given.project, Path(given.folder), stop=stop)


def _until_closed(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


def _claim(held: contextlib.ExitStack, path: Path) -> Contents | None:
    try:
        return held.enter_context(claimed(path))
    except OSError as exc:
        message = f"a segment cannot be read: {exc.strerror or type(exc).__name__}"
        raise StoreError("STO072", message, path=path.name, fix="check the disk and its rights") from exc


def _take_in(engine: Engine, project: str, path: Path, contents: Contents) -> int:
    """Log a segment that is held, then remove it or put it aside; gives its rows."""
    if contents.torn_bytes:
        say(f"{path.name} ends with {contents.torn_bytes} bytes that are no whole frame; they are left out")
    tables = [pa.Table.from_batches([batch]) for batch in contents.batches]
    counts = slots_of(tables)
    taken = not tables or _logged(engine, project, tables, batch=path.stem)
    failpoint("flush.logged")
    lost = _dropped(contents) + (Counter() if taken else counts)
    kept = counts if taken else Counter[Slot]()
    if kept or lost:
        add_counts(engine, project, logged=kept, dropped=lost, segment=path.stem)
    failpoint("flush.counted")
    if taken and not contents.damaged:
        path.unlink()
    else:
        path.rename(path.with_suffix(ASIDE))
        say(f"{path.stem} is put aside as {path.stem}{ASIDE}: {'damaged' if taken else 'refused by the log'}")
    return kept.total()


def _logged(engine: Engine, project: str, tables: Sequence[pa.Table], *, batch: str) -> bool:
    """Add rows to the log; False if it will never take them."""
    try:
        rows = pa.concat_tables(tables, promote_options="default")
        named = pa.repeat(pa.scalar(batch, pa.string()), rows.num_rows)
        rows = rows.set_column(rows.column_names.index("batch"), "batch", named)
        PredictionLog(engine, project).add(rows, batch=batch)
    except (DataError, pa.ArrowInvalid, pa.ArrowTypeError) as exc:
        say(f"the log does not take {batch}: {exc}")
        return False
    return True


def _dropped(contents: Contents) -> Counter[Slot]:
    lost: Counter[Slot] = Counter()
    for note in contents.notes:
        lost.update({Slot(hour, model_id, version): rows for hour, model_id, version, rows in note})
    return lost


if __name__ == "__main__":
    main()
