"""What the stores of runs and versions take, checked before they refuse it or cut it in silence.

The limits are the lowest of all stores, so that what is logged on one can be logged on each.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mlkit.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENTRIES, MAX_NAME = 1600, 250
MAX_PARAM, MAX_TAG = 250, 5000
MAX_DATASET_NAME, MAX_DIGEST = 500, 36
MAX_VERSION_TAGS, MAX_VERSION_KEY, MAX_VERSION_TAG = 50, 255, 1000
_REFUSED_KEY = re.compile(r"[.,\-=/: ]")  # what Unity Catalog takes in no key


def check_entries(what: str, entries: Mapping[str, object]) -> None:
    """Refuse more parameters, tags or metrics than a run holds, and names that are too long.

    Raises:
        StoreError: STO038.
    """
    if len(entries) > MAX_ENTRIES:
        message = f"{len(entries):,} {what}; a run holds {MAX_ENTRIES:,}"
        raise StoreError("STO038", message, path=what, fix="keep them in an artifact")
    for name in entries:
        check_length(name, MAX_NAME, what)


def check_length(text: str, most: int, what: str) -> None:
    """Refuse a text that is too long.

    Raises:
        StoreError: STO038.
    """
    if len(text) > most:
        message = f"{len(text):,} characters; MLflow takes {most:,} here"
        raise StoreError("STO038", message, path=f"{what}.{text[:40]}…", fix="shorten it")


def shortened(value: object) -> str:
    """A parameter as text; what would be cut silently is cut visibly (the whole stands in an artifact)."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_PARAM else f"{text[: MAX_PARAM - 1]}…"


def fitting(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run.

    Raises:
        StoreError: One is too long (STO025): tags are read back, so none is cut.
    """
    for name, value in tags.items():
        _check_value(name, value, MAX_TAG)
    return dict(tags)


def check_version_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags of a model version that Unity Catalog would refuse.

    Raises:
        StoreError: Too many, or a key of another form (STO039); a value that is too long (STO025).
    """
    if len(tags) > MAX_VERSION_TAGS:
        message = f"{len(tags)} tags; a version takes {MAX_VERSION_TAGS}"
        raise StoreError("STO039", message, path="tags", fix="store some as an artifact")
    for key, value in tags.items():
        if _REFUSED_KEY.search(key) or len(key) > MAX_VERSION_KEY:
            message = f"a key has up to {MAX_VERSION_KEY} characters and none of . , - = / : or space"
            raise StoreError("STO039", message, path=key[:MAX_VERSION_KEY], fix="use letters, digits and _")
        _check_value(key, value, MAX_VERSION_TAG)


def _check_value(name: str, value: str, most: int) -> None:
    if len(value) > most:
        message = f"{len(value):,} characters; a tag holds {most:,} here"
        raise StoreError("STO025", message, path=name, fix="store it as an artifact")
