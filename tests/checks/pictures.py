"""Draw the picture of the home page: ``python -m tests.checks.pictures``, where Chromium is installed.

It is the report of what the tutorial on drift leaves behind, so that it shows what a reader will have.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser import FLAGS, find_browser
from tests.docs.blocks import ROOT, SHARED, files_of, read_page, script_of

TUTORIAL = "docs/tutorials/drift-and-retraining.md"
PICTURE = ROOT / "docs" / "assets" / "report.png"
_SIZE = "1280,860"


def main() -> int:
    """Follow the tutorial in a folder of its own, write the report, and take its picture."""
    browser = find_browser()
    if browser is None:
        sys.stderr.write("there is no Chromium here\n")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = _report(folder)
        drawn = folder / "report.png"
        where = [f"--user-data-dir={folder / 'browser'}", f"--screenshot={drawn}", f"--window-size={_SIZE}"]
        command = [browser, "--headless=new", "--hide-scrollbars", *FLAGS, *where, page.as_uri()]
        subprocess.run(command, check=True, timeout=300, stderr=subprocess.DEVNULL)
        shutil.copy(drawn, PICTURE)
    sys.stdout.write(f"{PICTURE}  {PICTURE.stat().st_size // 1000} KB\n")
    return 0


def _report(folder: Path) -> Path:
    """The report of the project that the tutorial makes."""
    blocks = [block for page in (*SHARED, TUTORIAL) for block in read_page(page)]
    for title, text in files_of(blocks).items():
        (folder / title).write_text(text, encoding="utf-8")
    page = folder / "report.html"
    script = f"{script_of(read_page(TUTORIAL))}\nproject.report({str(page)!r}, log=False)\n"
    (folder / "page.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "MLKIT_HOME": str(folder / ".mlkit"), "MLKIT_TARGET": "local"}
    subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder,
        env=environment,
        check=True,
        timeout=900,
        stdout=subprocess.DEVNULL,
    )
    return page


if __name__ == "__main__":
    sys.exit(main())
