"""Which pages there are, and what is generated in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import catalogues, commands, errors, fields, names, schemas

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT = "reference"
"""Folder of pages that are kept, with parts that are generated."""
MADE = (errors.FOLDER, names.FOLDER, schemas.FOLDER)
"""Folders that are written anew at each build."""

_PART = re.compile(r"(<!-- generated: (\w+) ?([^>]*?) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_PARTS: dict[str, Callable[[str], str]] = {
    "codes": errors.codes_of,
    "columns": catalogues.columns_of,
    "commands": commands.all_commands,
    "exits": errors.exits,
    "fields": fields.fields_of,
    "findings": errors.findings,
    "json": schemas.schemas_page,
    "names": names.names_of,
    "tags": catalogues.tags_of,
    "variables": catalogues.variables_of,
}


def filled(text: str) -> str:
    """A page with its generated parts written anew.

    Raises:
        KeyError: A part that nothing generates.
    """
    return _PART.sub(lambda part: f"{part[1]}\n{_PARTS[part[2]](part[3]).strip()}\n\n{part[4]}", text)


def stale_pages(docs: Path) -> list[str]:
    """Pages that are kept and do not say what the code says; those that are made have nothing to be stale."""
    pages = sorted((docs / KEPT).glob("*.md"))
    return [page.name for page in pages if (text := page.read_text(encoding="utf-8")) != filled(text)]


def write_kept(docs: Path) -> None:
    """Write the generated parts of the pages that are kept."""
    for page in sorted((docs / KEPT).glob("*.md")):
        _write(page, filled(page.read_text(encoding="utf-8")))


def write_made(docs: Path) -> None:
    """Write the pages that are made; one that is up to date is not touched, one of what is gone goes."""
    made = {**errors.error_pages(), **names.name_pages(docs), **schemas.schema_files()}
    for folder in MADE:
        for page in (docs / folder).iterdir() if (docs / folder).is_dir() else ():
            if page.relative_to(docs).as_posix() not in made:
                page.unlink()
    for path, text in made.items():
        _write(docs / path, text)


def _write(page: Path, text: str) -> None:
    if not page.is_file() or page.read_text(encoding="utf-8") != text:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
