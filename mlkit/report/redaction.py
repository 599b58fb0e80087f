"""Secrets are taken out of everything a report says: it is made to be passed on."""

from __future__ import annotations

import re
from typing import Any

from mlkit.document import SECRET

SHOWN = "[redacted]"
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_LOGIN = re.compile(r"(?<=://)[^/@\s\"'<>]+(?=@)")
_NAMED = re.compile(
    r"(\b(?:password|passwd|pwd|secret|token|api[_-]?key)\b(?:\"|'|&quot;|&#x27;)?\s*[=:]\s*(?:\"|'|&quot;|&#x27;)?)"
    r"[^\s\"'&,;<>\\]{4,}",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """A text without what looks like a secret: keys of known forms, logins in addresses, named passwords."""
    for pattern in (_KEY, SECRET, _LOGIN):
        text = pattern.sub(SHOWN, text)
    return _NAMED.sub(rf"\g<1>{SHOWN}", text)


def redacted_values(values: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same of each text among values; names stay."""
    if isinstance(values, dict):
        return {name: _value(name, inner) for name, inner in values.items()}
    if isinstance(values, list | tuple):
        return [redacted_values(inner) for inner in values]
    return redacted(values) if isinstance(values, str) else values


def _value(name: object, inner: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A text whose name says that it is a secret is one, whatever it looks like."""
    if isinstance(inner, str) and _NAMED.search(f"{name}={inner}"):
        return SHOWN
    return redacted_values(inner)
