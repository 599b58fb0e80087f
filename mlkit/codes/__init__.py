"""Every error code in one sentence: what `mlkit help CODE` and the reference pages print.

The sentences stand in ``codes.txt``, one a line, in the order of their codes. The family is the first three
letters: `mlkit.errors` says which class of error it has and with which code a command then exits. A code
keeps its meaning for good; one that is no longer raised is left out and not given away again.
"""

from __future__ import annotations

import importlib.resources

_TEXT = importlib.resources.files("mlkit").joinpath("codes.txt").read_text(encoding="utf-8")

CODES: dict[str, str] = dict(line.split("  ", maxsplit=1) for line in _TEXT.splitlines())
"""Sentence by code."""
