"""Pages of error codes: the list, one page each, and the errors by exit code."""

from __future__ import annotations

from mlkit import errors as tree
from mlkit.codes import CODES
from mlkit.codes.page import FAMILIES, CodePage, explain_codes
from mlkit.report.findings import FINDINGS

from .markdown import HEADER, code, table

FOLDER = "reference/errors"


def codes_of(_: str) -> str:
    """Every code with its meaning, by family."""
    parts = []
    for letters, family in FAMILIES.items():
        rows = [
            (f"[`{known}`](errors/{known}.md)", meaning)
            for known, meaning in sorted(CODES.items())
            if known.startswith(letters)
        ]
        head = f"## {family.title} {{ #{letters.lower()} }}"
        says = f"`{family.error.__name__}` (`{family.builtin}`), exit code {family.exit_code}."
        parts.append(f"{head}\n\n{says}\n\n{table(['code', 'what it means'], rows)}")
    return "\n".join(parts)


def findings(_: str) -> str:
    """Every finding of the report."""
    rows = [(f"`{known}`", meaning) for known, meaning in sorted(FINDINGS.items())]
    return table(["code", "what was looked at"], rows)


def exits(_: str) -> str:
    """Exit codes with the errors that lead to them."""
    known = [kind for kind in vars(tree).values() if isinstance(kind, type) and kind is not tree.MlkitError]
    found: dict[int, list[str]] = {}
    for kind in known:
        if issubclass(kind, tree.MlkitError):
            found.setdefault(kind.exit_code, []).append(kind.__name__)
    families: dict[int, list[str]] = {}
    for letters, family in FAMILIES.items():
        families.setdefault(family.exit_code, []).append(f"[{letters}](codes.md#{letters.lower()})")
    rows = [
        (str(number), ", ".join(families.get(number, [])), ", ".join(f"`{name}`" for name in sorted(names)))
        for number, names in sorted(found.items())
    ]
    return table(["code", "codes of errors", "errors"], rows)


def error_pages() -> dict[str, str]:
    """A page for each code, by its path under docs."""
    return {f"{FOLDER}/{page.code}.md": _page(page) for page in explain_codes()}


def _page(page: CodePage) -> str:
    family = page.family
    facts = (
        f"Error `{family.error.__name__}`, which is also a `{family.builtin}`. "
        f"A command ends with [exit code {family.exit_code}](../exit-codes.md). "
        f"Family: [{family.title}](../codes.md#{page.code[:3].lower()})."
    )
    parts = [f"{HEADER}# {page.code}\n", f"{page.meaning}\n", _said(page), _example(page)]
    modules = ", ".join(code(name) for name in dict.fromkeys(place.module for place in page.places))
    parts += [f"{facts}\n", f"Raised in {modules}. On a terminal: `mlkit help {page.code}`.\n"]
    return "\n".join(part for part in parts if part)


def _said(page: CodePage) -> str:
    rows = [
        (code(message), "<br>".join(code(fix) for fix in fixes) or "as above")
        for message, fixes in page.sentences.items()
    ]
    if not rows:
        return "".join(f"- {code(fix)}\n" for fix in page.fixes)
    told = "What stands in angle brackets is filled in when it happens.\n\n"
    return f"## What it says, and what to do\n\n{told}{table(['it says', 'do'], rows)}"


def _example(page: CodePage) -> str:
    """How the first place looks on a terminal."""
    for message, fixes in page.sentences.items():
        lines = [f"error[{page.code}] {message}", *(f"  fix: {fix}" for fix in fixes[:1])]
        shown = "\n".join([*lines, f"  page: mlkit help {page.code}"])
        return f"## How it looks\n\n```text\n{shown}\n```\n"
    return ""
