"""Secrets are taken out of a report, and what only looks a little like one stays."""

from __future__ import annotations

import pytest

from mlkit.report.redaction import SHOWN, redacted, redacted_values


@pytest.mark.parametrize(
    "text",
    [
        "dapi0123456789abcdef0123",
        "AKIAABCDEFGHIJKLMNOP",
        "ghp_0123456789abcdefghij",
        "postgresql://someone:geheim99@host/db",
        "https://dapi0123456789abcdef0123@host",
        "password = geheim99",
        "API_KEY: 'geheim99'",
        '"token": "geheim99"',
        "secret=&quot;geheim99&quot;",
        "-----BEGIN PRIVATE KEY-----\ngeheim99\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_goes(text):
    """Keys of known forms, logins in addresses, named passwords; what is around them stays."""
    said = redacted(f"before {text} after")
    assert SHOWN in said
    assert said.startswith("before ")
    assert said.endswith(" after")
    for secret in ("geheim99", "0123456789abcdef", "ABCDEFGHIJKLMNOP"):
        assert secret not in said


def test_what_does_not_stays():
    """Parameters whose names only begin like a secret, fingerprints, commits and addresses."""
    kept = {
        "token_pattern": "(?u)w+",
        "data": "d1:0123456789abcdef0123456789abcdef",
        "commit": "0" * 40,
        "at": "https://host/path",
        "rows": 5,
    }
    assert redacted_values(kept) == kept
    assert redacted_values([{"password": "geheim99"}]) == [{"password": SHOWN}]
