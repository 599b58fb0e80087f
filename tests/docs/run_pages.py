"""Run the Python of pages, one after the other, in one process: ``run_pages.py STORE RESULT PAGE ...``.

Importing everything takes seconds and a page a second or less, so pages share the process. Each has a folder
and a store of its own, its own names, and its own modules.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shutil
import sys
import time
import traceback
from pathlib import Path

from tests.docs.blocks import SHARED, files_of, read_page, script_of


def main(store: str, result: str, *pages: str) -> None:
    """Run pages; what each printed, what stopped it, and how long it took go into a file."""
    told = {}
    for number, page in enumerate(pages):
        folder = Path(f"{number:02}-{Path(page).stem}").resolve()
        told[page] = _run(page, folder, Path(store))
        Path(result).write_text(json.dumps(told), encoding="utf-8")  # what was told before a page that hangs


def _run(page: str, folder: Path, store: Path) -> dict[str, str | float]:
    home = folder / ".mlkit"
    home.mkdir(parents=True)
    shutil.copy(store, home / "mlflow.db")
    os.environ["MLKIT_HOME"] = str(home)
    blocks = read_page(page)
    shared = [block for other in SHARED for block in read_page(other)]
    for name, text in files_of([*shared, *blocks]).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    script = folder / "page.py"
    script.write_text(script_of(blocks), encoding="utf-8")
    printed, started = io.StringIO(), time.monotonic()
    with _inside(folder), contextlib.redirect_stdout(printed):
        error = _error(script)
    return {"printed": printed.getvalue(), "error": error, "seconds": time.monotonic() - started}


def _error(script: Path) -> str:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except Exception:  # noqa: BLE001 - whatever a page does wrong is what is to be told
        return traceback.format_exc()
    return ""


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
