"""The name that somebody meant: the nearest known one, or all of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_SHOWN = 12


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say about a name that is not known: the nearest, or else those that are.

    Args:
        word: What was asked for.
        known: What there is.

    Returns:
        A sentence for `fix`; empty if nothing is known.
    """
    names = sorted(set(known))
    if meant := likely(word, names):
        return f"did you mean {meant!r}?"
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"known: {', '.join(names[:MOST_SHOWN])}{more}" if names else ""


def likely(word: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, whatever its case; empty if none is near."""
    names = {name.lower(): name for name in sorted(set(known), reverse=True)}
    near = difflib.get_close_matches(word.lower(), names, n=1)
    return names[near[0]] if near else ""
