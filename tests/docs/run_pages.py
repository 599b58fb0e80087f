"""Run the Python of pages, one after the other, in one process: ``run_pages.py STORE RESULT PAGE ...``.

Importing everything takes seconds and a page a second or less, so pages share the process. Each has a folder
and a store of its own, its own names, and its own modules. One that is named again runs where it ran before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.docs.blocks import SHARED, files_of, read_page, script_of
from tests.scripts import run_script


def main(store: str, result: str, *pages: str) -> None:
    """Run pages; what each run printed, what stopped it, and how long it took go into a file."""
    told = {}
    for page in pages:
        folder = Path(f"{pages.index(page):02}-{Path(page).stem}").resolve()
        if page not in told:
            _prepare(page, folder, Path(store))
        told.setdefault(page, []).append(_run(folder))
        Path(result).write_text(json.dumps(told), encoding="utf-8")  # what was told before a page that hangs


def _prepare(page: str, folder: Path, store: Path) -> None:
    """What a reader has saved before the page runs, and an empty store."""
    (folder / ".mlkit").mkdir(parents=True)
    shutil.copy(store, folder / ".mlkit" / "mlflow.db")
    blocks = read_page(page)
    shared = [block for other in SHARED for block in read_page(other)] if page.startswith("docs/") else []
    for name, text in {**files_of([*shared, *blocks]), "page.py": script_of(blocks)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _run(folder: Path) -> dict[str, str | float]:
    os.environ["MLKIT_HOME"] = str(folder / ".mlkit")
    started = time.monotonic()
    with _inside(folder):
        ran = run_script(folder / "page.py")
    return {"printed": ran.printed, "error": ran.error, "seconds": time.monotonic() - started}


@contextlib.contextmanager
def _inside(folder: Path):
    """A working directory whose modules are forgotten afterwards."""
    before, known = Path.cwd(), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


if __name__ == "__main__":
    main(*sys.argv[1:])
