"""Write the generated pages, or with ``--check`` fail where those that are kept are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from .pages import stale_pages, write_kept, write_made
from .schemas import KEPT, schemas_text

DOCS = Path(__file__).parents[3] / "docs"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; 0 if all is well."""
    if "--check" in arguments:
        stale = stale_pages(DOCS)
        stale += [KEPT.name] if KEPT.read_text(encoding="utf-8") != schemas_text() else []
        if stale:
            sys.stdout.write(f"stale: {', '.join(stale)}; run python -m tests.checks.reference\n")
        return int(bool(stale))
    KEPT.write_text(schemas_text(), encoding="utf-8")
    write_kept(DOCS)
    write_made(DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
