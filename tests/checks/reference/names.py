"""Pages of public names: one each, with where one gets it and the pages that show it at work."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import mlkit

from .catalogues import PACKAGE
from .markdown import HEADER, prose, table

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "reference/python"
GROUPS = {
    "The project": ("ModelProject", "open_workspace", "Workspace", "MlkitError"),
    "Data": ("Contract", "Column", "FeatureTable", "Source", "Snapshot", "Split", "fingerprint"),
    "Research": ("Study", "Trial", "FrozenConfig", "Handoff"),
    "Rules of a config": ("Gate", "Monitor", "Retrain"),
    "Production": ("Plan", "RunReport", "ModelVersion"),
}
"""Every public name, in the order in which one meets them."""

MADE_BY = {
    "FeatureTable": "project.publish_features(",
    "FrozenConfig": "project.freeze(",
    "Handoff": "project.handoff(",
    "ModelVersion": "project.champion(",
    "Plan": "project.plan(",
    "RunReport": "project.deploy(",
    "Snapshot": "project.snapshot(",
    "Study": "project.study(",
    "Trial": "study.best",
    "Workspace": "open_workspace(",
}
"""What gives one, where it is not made by its own name."""

_ORDER = ("start", "tutorials", "guides", "concepts")
_CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]+`")
_MOST = 6


def names_of(_: str) -> str:
    """Every public name with its first sentence, by group."""
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(listed) != sorted(mlkit.__all__):
        raise KeyError("names.py: GROUPS", set(listed) ^ set(mlkit.__all__))
    parts = []
    for title, names in GROUPS.items():
        rows = [(f"[`{name}`](python/{name}.md)", summary(name)) for name in names]
        parts.append(f"## {title}\n\n{table(['name', 'what it is'], rows)}")
    return "\n".join(parts)


def name_pages(docs: Path) -> dict[str, str]:
    """A page for each public name, by its path under docs."""
    pages = read_pages(docs)
    return {f"{FOLDER}/{name}.md": _page(name, used_in(name, pages), pages) for name in mlkit.__all__}


def read_pages(docs: Path) -> dict[str, str]:
    """Text of the pages that people have written, by path under docs: tutorials before guides."""
    found = [path for folder in _ORDER for path in sorted((docs / folder).rglob("*.md"))]
    return {path.relative_to(docs).as_posix(): path.read_text(encoding="utf-8") for path in found}


def used_in(name: str, pages: dict[str, str]) -> list[str]:
    """Paths of the pages whose code shows a name at work.

    Args:
        name: A public name.
        pages: Text by path under docs.
    """
    word, made = re.escape(name), re.escape(MADE_BY.get(name, f"{name}("))
    wanted = re.compile(rf"(?<![\w.]){word}\b|{made}")
    return [path for path, text in pages.items() if any(map(wanted.search, _CODE.findall(text)))]


def _page(name: str, used: list[str], pages: dict[str, str]) -> str:
    made = MADE_BY.get(name)
    got = f" One comes from `{made.rstrip('(')}{'(...)' if made.endswith('(') else ''}`." if made else ""
    links = "".join(f"- [{_title(pages[path])}](../../{path})\n" for path in used[:_MOST])
    where = f"\n## At work in\n\n{links}" if links else ""
    return (
        f"{HEADER}# {name}\n\n`from mlkit import {name}`.{got}\n\n::: {_home(name)}\n"
        f"    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
        f"      heading_level: 2\n{where}"
    )


def _home(name: str) -> str:
    return f"{mlkit._HOMES[name]}.{name}"


def summary(name: str) -> str:
    """First paragraph of the docstring of a public name."""
    module, _ = read_object(_home(name))
    node = next(node for node in module.body if getattr(node, "name", "") == name)
    return prose((ast.get_docstring(node) or "").partition("\n\n")[0])


def read_object(dotted: str) -> tuple[ast.Module, str | None]:
    """Syntax tree of a module and the name in it; read and not imported, which takes seconds."""
    path = PACKAGE.parent.joinpath(*dotted.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8")), None
    module, _, name = dotted.rpartition(".")
    return read_object(module)[0], name


def _title(text: str) -> str:
    return next(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
