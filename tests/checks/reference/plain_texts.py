"""The site for programs: each page as Markdown beside its HTML, and ``llms.txt``, which lists them.

A page of a public name is a directive in its source; in its plain text stand signatures and docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from .names import FOLDER, read_object, summary

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SHOWN = (*_FUNCTIONS, ast.ClassDef)
_OBJECT = re.compile(r"(?m)^::: ([\w.]+)\n(?:    .*\n?)*")
_COMMENT = re.compile(r"(?m)^<!-- .*? -->\n")
_ATTRIBUTES = re.compile(r"(?m)^(#+ .*?) \{ #[\w-]+ \}$")
_INCLUDED = re.compile(r'(?m)^--8<-- "([\w./-]+)"\n')
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_SENTENCE = re.compile(r"(?ms)^# .*?\n\n(?!\||:::|<|!|>)(.+?)(?:\n\n|\Z)")


def main(arguments: list[str]) -> int:
    """Write the plain texts of the site that was built into a folder, by default ``site``."""
    root = Path(__file__).parents[3]
    site = Path(arguments[0]) if arguments else root / "site"
    write_plain_texts(root / "docs", site, root / "mkdocs.yml")
    return 0


def write_plain_texts(docs: Path, site: Path, config: Path) -> None:
    """Write ``PAGE.md`` beside each ``PAGE.html``, and ``llms.txt``.

    Args:
        docs: The sources.
        site: The site that was built of them.
        config: ``mkdocs.yml``, for the order of the list.
    """
    for page in sorted(docs.rglob("*.md")):
        target = site / page.relative_to(docs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plain_text(read_page(page, docs.parent)), encoding="utf-8")
    (site / "llms.txt").write_text(listing(docs, read_config(config)), encoding="utf-8")


def read_page(page: Path, root: Path) -> str:
    """A page with the files of the repository that it takes in whole."""
    text = page.read_text(encoding="utf-8")
    return _INCLUDED.sub(lambda found: (root / found[1]).read_text(encoding="utf-8"), text)


def plain_text(text: str) -> str:
    """A page without comments and directives."""
    text = _ATTRIBUTES.sub(r"\1", _COMMENT.sub("", text))
    return _OBJECT.sub(lambda found: _described(found[1]), text)


def listing(docs: Path, config: dict[str, Any]) -> str:
    """``llms.txt``: title and first sentence of each page of the menu, with the address of its plain text."""
    parts = [f"# {config['site_name']}\n\n> {config['site_description']}\n"]
    for title, pages in config_pages(config["nav"]).items():
        lines = [_line(docs, page) for page in pages if (docs / page).is_file()]  # mkdocs tells of others
        parts.append(f"## {title}\n\n{''.join(lines)}")
    return "\n".join(parts)


def config_pages(nav: list[Any]) -> dict[str, list[str]]:
    """Paths of pages by the topmost title above them."""
    found: dict[str, list[str]] = {}
    for entry in nav:
        title, inner = next(iter(entry.items()))
        found.setdefault(title, []).extend(_paths(inner))
    return found


def read_config(path: Path) -> dict[str, Any]:
    """``mkdocs.yml``; what its tags stand for is not needed here."""

    class Loader(yaml.SafeLoader):
        """One that reads unknown tags as nothing."""

    Loader.add_multi_constructor("", lambda *_: None)
    values: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - a SafeLoader
    return values


def _paths(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry if isinstance(entry, list) else list(entry.values())
    return [path for part in inner for path in _paths(part)]


def _line(docs: Path, page: str) -> str:
    text = plain_text(read_page(docs / page, docs.parent))
    title = text.strip().partition("\n")[0].removeprefix("# ")
    found = _SENTENCE.search(text)
    first = summary(title) if page.startswith(f"{FOLDER}/") else " ".join(found[1].split()) if found else ""
    said = _LINK.sub(r"\1", first).partition(". ")[0].rstrip(".")
    return f"- [{title}]({page}){f': {said}' if said else ''}\n"


def _described(dotted: str) -> str:
    """Signatures and docstrings of an object and of its public members, as its source says them."""
    module, name = read_object(dotted)
    nodes = module.body if name is None else [node for node in module.body if _name(node) == name]
    return "\n".join(_entry(node, "") for node in nodes if isinstance(node, _SHOWN) and not _hidden(node))


def _entry(node: ast.stmt, owner: str) -> str:
    name = f"{owner}{_name(node)}"
    text = textwrap.indent(ast.get_docstring(node) or "", "    ", lambda line: bool(line.strip()))
    entry = f"```python\n{_head(node, name)}\n```\n\n{text}\n"
    if not isinstance(node, ast.ClassDef):
        return entry
    members = [inner for inner in node.body if isinstance(inner, _FUNCTIONS) and not _hidden(inner)]
    return "\n".join([entry, *(_entry(inner, f"{name}.") for inner in members)])


def _head(node: ast.stmt, name: str) -> str:
    """What stands before the colon; of a class, with its fields."""
    if isinstance(node, ast.ClassDef):
        fields = [inner for inner in node.body if isinstance(inner, ast.AnnAssign) and not _hidden(inner)]
        return "\n".join([f"class {name}", *(f"    {ast.unparse(field)}" for field in fields)])
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    marks = {getattr(mark, "id", getattr(mark, "attr", "")) for mark in node.decorator_list}
    given = "" if marks & {"property", "cached_property"} else f"({ast.unparse(node.args)})"
    return f"{name}{given}{gives}"


def _name(node: ast.stmt) -> str:
    target = getattr(node, "target", None)
    return getattr(node, "name", "") or getattr(target, "id", "_")


def _hidden(node: ast.stmt) -> bool:
    return _name(node).startswith("_")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
