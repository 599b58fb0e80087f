"""What each code of a finding means: what `mlkit help CODE` prints.

The sentences stand in ``findings.txt``, one a line, in the order of their codes. A code keeps its meaning for
good; one that is no longer used is left out and not given away again.
"""

from __future__ import annotations

import importlib.resources

_TEXT = importlib.resources.files("mlkit.report").joinpath("findings.txt").read_text(encoding="utf-8")

FINDINGS: dict[str, str] = dict(line.split("  ", maxsplit=1) for line in _TEXT.splitlines())
"""Sentence by code."""
