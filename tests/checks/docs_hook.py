"""What mkdocs calls when it builds the site: write the pages that are made first, and the plain texts last.

Zensical knows no such hooks; there ``python -m tests.checks.reference`` and
``python -m tests.checks.reference.plain_texts`` do the same, before and after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reference.pages import write_made
from reference.plain_texts import write_plain_texts


def on_startup(**_: Any) -> None:
    """Write the pages of codes and names, before the files are looked for."""
    write_made(Path(__file__).parents[2] / "docs")


def on_post_build(config: Any, **_: Any) -> None:
    """Write each page as Markdown too, and the list of them."""
    write_plain_texts(Path(config.docs_dir), Path(config.site_dir), Path(config.config_file_path))
