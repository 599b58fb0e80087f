"""Tokens and bounds by themselves: who passes, and what a service may be told."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from mlkit.errors import SecurityError, UsageError
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.auth import Tokens
from mlkit.production.service.limits import Settings

SERVE, ADMIN = b"Bearer serve-token-0001", b"Bearer admin-token-0001"
BOTH = {"MLKIT_SERVE_TOKENS": "serve-token-0001", "MLKIT_ADMIN_TOKENS": "admin-token-0001"}
WRONG = (
    None,
    b"",
    b"Bearer",
    b"Bearer ",
    b"serve-token-0001",
    b"Basic serve-token-0001",
    b"Bearer serve-token-000",
    b"Bearer serve-token-00011",
    b"Bearer SERVE-TOKEN-0001",
    b"Bearer \xff",
)


def outcome(check, header) -> str:
    """Code of the refusal; empty if it passes."""
    try:
        check(header)
    except RefusedError as exc:
        return exc.code
    return ""


@pytest.mark.parametrize(
    ("given", "header", "serve", "admin"),
    [
        ((), None, "", ""),
        ((), b"Bearer anything", "", ""),
        (("MLKIT_SERVE_TOKENS",), None, "NET035", "NET035"),
        (("MLKIT_SERVE_TOKENS",), SERVE, "", "NET036"),
        (("MLKIT_ADMIN_TOKENS",), None, "", "NET035"),
        (("MLKIT_ADMIN_TOKENS",), ADMIN, "", ""),
        (("MLKIT_SERVE_TOKENS", "MLKIT_ADMIN_TOKENS"), SERVE, "", "NET036"),
        (("MLKIT_SERVE_TOKENS", "MLKIT_ADMIN_TOKENS"), ADMIN, "", ""),
        *((("MLKIT_SERVE_TOKENS", "MLKIT_ADMIN_TOKENS"), header, "NET035", "NET035") for header in WRONG),
    ],
)
def test_who_may_do_what(given, header, serve, admin) -> None:
    """An administrator may do all; whoever may only predict is told so; a scope without tokens is closed."""
    tokens = Tokens.read({name: BOTH[name] for name in given})
    assert (outcome(tokens.check_serve, header), outcome(tokens.check_admin, header)) == (serve, admin)


@pytest.mark.parametrize("header", [b"bearer serve-token-0001", b"BEARER  serve-token-0001 "])
def test_the_word_bearer_in_any_case(header) -> None:
    """And spaces around the token, as HTTP has it."""
    assert outcome(Tokens.read(BOTH).check_serve, header) == ""


@pytest.mark.parametrize("text", ["", " ", ",", "\n,\n"])
def test_no_token_is_none(text) -> None:
    """Not one of no characters, which anybody could send."""
    assert Tokens.read({"MLKIT_SERVE_TOKENS": text, "MLKIT_ADMIN_TOKENS_FILE": ""}) == Tokens()


@pytest.mark.parametrize(("length", "taken"), [(15, False), (16, True), (512, True), (513, False)])
def test_the_length_of_a_token(length, taken) -> None:
    """From 16 to 512 characters."""
    environment = {"MLKIT_SERVE_TOKENS": "x" * length}
    if taken:
        assert len(Tokens.read(environment).serve) == 1
    else:
        with pytest.raises(SecurityError, match="SEC020"):
            Tokens.read(environment)


def test_a_token_twice_is_one(tmp_path) -> None:
    """In the variable, and in the file with ends of lines of another system."""
    (tmp_path / "t").write_bytes(b"token-number-001\r\n\r\ntoken-number-002\r\n")
    found = Tokens.read(
        {"MLKIT_ADMIN_TOKENS": "token-number-001", "MLKIT_ADMIN_TOKENS_FILE": str(tmp_path / "t")}
    )
    assert len(found.admin) == 2
    assert outcome(found.check_admin, b"Bearer token-number-002") == ""


def test_a_file_that_is_no_text(tmp_path) -> None:
    """It is named by its variable, not by its place or content."""
    (tmp_path / "t").write_bytes(b"secret-\xff")
    with pytest.raises(SecurityError) as caught:
        Tokens.read({"MLKIT_ADMIN_TOKENS_FILE": str(tmp_path / "t")})
    assert (caught.value.code, caught.value.path) == ("SEC020", "MLKIT_ADMIN_TOKENS_FILE")
    assert str(tmp_path) not in str(caught.value)


RANGES = {
    "port": (0, 65_535),
    "workers": (1, 256),
    "max_rows": (1, 10_000_000),
    "max_body_bytes": (1024, 2**30),
    "refresh_seconds": (0.1, 86_400),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_range_holds_its_ends(name) -> None:
    """And nothing beyond, nor what is no number; the message has both ends."""
    least, most = RANGES[name]
    assert [getattr(Settings(**{name: end}), name) for end in (least, most)] == [least, most]
    for beyond in (least - 0.01, most + 1, float("nan")):
        with pytest.raises(
            UsageError, match=f"expected {least:,} to {most:,}, found {beyond:,}\\n"
        ) as caught:
            Settings(**{name: beyond})
        assert caught.value.path == name


def test_settings_travel_and_do_not_change() -> None:
    """To workers; a change is a new one, which is checked as well."""
    settings = Settings(policy="fast", port=0)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - of our own
    assert Settings(**dataclasses.asdict(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1
    with pytest.raises(UsageError):
        dataclasses.replace(settings, workers=257)


@pytest.mark.parametrize("host", ["", "127.0.0.256", "localhost.example.org", "::2", "LOCALHOST"])
def test_a_host_that_only_looks_like_this_machine(host) -> None:
    """When in doubt, tokens are asked for."""
    assert Settings(host=host).is_loopback is False
