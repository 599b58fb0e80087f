"""What runs and versions take, and copies of what lies elsewhere: pure rules, no store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.errors import StoreError
from mlkit.tracking import limits, owner
from mlkit.tracking.copies import left_copies, local_path, remove_copies
from mlkit.tracking.limits import check_entries, check_length, check_version_tags, fitting, shortened


@pytest.fixture
def ended() -> int:
    """Number of a process that has ended and was asked about."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    return process.pid


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("as it is", "as it is"),
        ("é" * 250, "é" * 250),
        ("é" * 251, "é" * 249 + "…"),
        ({"b": 1, "a": [True, None]}, '{"b": 1, "a": [true, null]}'),
        ("", ""),
        (0.1, "0.1"),
        (False, "false"),
        (Path("ü"), '"ü"'),
    ],
)
def test_a_parameter_as_text(value, expected):
    """What is no text is JSON; what is too long ends in an ellipsis, so that one sees it was cut."""
    assert shortened(value) == expected


@settings(max_examples=50)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=60)))
def test_no_parameter_is_too_long(value):
    """And one that was not cut reads back as it was."""
    text = shortened(value)
    assert len(text) <= limits.MAX_PARAM
    if not isinstance(value, str) and not text.endswith("…"):
        assert json.loads(text) == value


def test_as_many_entries_as_a_run_holds():
    """One more is refused, and so is a name of one character more; the kind is named."""
    check_entries("metrics", dict.fromkeys(map(str, range(limits.MAX_ENTRIES)), 0))
    check_entries("metrics", {"x" * limits.MAX_NAME: 0})
    with pytest.raises(StoreError, match=r"1,601 metrics; a run holds 1,600") as caught:
        check_entries("metrics", dict.fromkeys(map(str, range(limits.MAX_ENTRIES + 1)), 0))
    assert (caught.value.code, caught.value.path) == ("STO038", "metrics")
    with pytest.raises(StoreError, match="STO038") as caught:
        check_entries("metrics", {"x" * (limits.MAX_NAME + 1): 0})
    assert caught.value.path == f"metrics.{'x' * 40}…"


def test_length_is_counted_in_characters():
    """Not in bytes, of which a character may have four."""
    check_length("🙂" * 5, 5, "name")
    with pytest.raises(StoreError, match="6 characters; MLflow takes 5"):
        check_length("🙂" * 6, 5, "name")


def test_tags_of_a_run_are_read_back_and_never_cut():
    """The longest that fits stays whole; one character more is refused by the tag's name, not its value."""
    tags = {"a": "x" * limits.MAX_TAG, "b": ""}
    assert fitting(tags) == tags
    assert fitting(tags) is not tags
    with pytest.raises(StoreError, match="5,001 characters") as caught:
        fitting({"secret": "y" * (limits.MAX_TAG + 1)})
    assert (caught.value.code, caught.value.path) == ("STO025", "secret")
    assert "yy" not in str(caught.value)


@pytest.mark.parametrize("character", list(".,-=/: "))
def test_a_key_that_unity_catalog_refuses(character):
    """Wherever the character stands."""
    for key in (f"{character}a", f"a{character}b", f"a{character}"):
        with pytest.raises(StoreError, match="STO039") as caught:
            check_version_tags({key: "x"})
        assert caught.value.path == key


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"mlkit_{number}": "x" for number in range(50)}, None),
        ({f"mlkit_{number}": "x" for number in range(51)}, "STO039"),
        ({"k" * 255: "v" * 1000}, None),
        ({"k" * 256: "v"}, "STO039"),
        ({"k": "v" * 1001}, "STO025"),
        ({}, None),
    ],
)
def test_tags_of_a_version_at_their_limits(tags, code):
    """Fifty of them, keys of 255 characters and values of a thousand: that much and no more."""
    if code is None:
        check_version_tags(tags)
        return
    with pytest.raises(StoreError) as caught:
        check_version_tags(tags)
    assert caught.value.code == code
    assert len(caught.value.path) <= limits.MAX_VERSION_KEY


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/lake/models", Path("/lake/models")),
        ("file:///lake/a%20%23b", Path("/lake/a #b")),
        ("models", Path("models")),
        ("s3://bucket/models", None),
        ("mlflow-artifacts:/1/models", None),
        ("dbfs:/models", None),
    ],
)
def test_where_files_lie(location, expected):
    """On this machine a folder, with what an address escapes; elsewhere none."""
    assert local_path(location) == expected


def test_copies_of_processes_that_were_killed(tmp_path, monkeypatch, ended):
    """Those of the living stay, as does what only looks like one; nothing else is ever removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine, left, odd, other = (
        tmp_path / name
        for name in (f"mlkit-models-{os.getpid()}-a", f"mlkit-models-{ended}-b", "mlkit-models-x-c", "models")
    )
    for folder in (mine, left, odd, other):
        folder.mkdir()
        (folder / "model.skops").write_bytes(b"x")
    assert left_copies() == [left]
    for folder in (mine, left, odd, other, tmp_path):
        remove_copies(folder)
    assert sorted(tmp_path.iterdir()) == sorted([mine, odd, other])
    assert left_copies() == []


def test_a_process_is_known_by_its_start_too(ended):
    """A number that was given to another process does not pass for the first one."""
    machine, number, started = owner.this_process().split(" ")
    assert number == str(os.getpid())
    assert owner.is_running(os.getpid())
    assert not owner.is_running(ended)
    assert owner.has_died(f"{machine} {ended} {started}") is True
    assert owner.has_died(f"{machine} {number} {int(started or 0) + 1}") is bool(started)
    assert owner.this_process() == f"{machine} {number} {started}"


@pytest.mark.parametrize("rest", ["", "-1 5", "one 5", " 5"])
def test_an_owner_that_does_not_read_is_not_known(rest):
    """Nothing is ended on its account."""
    machine = owner.this_process().partition(" ")[0]
    assert owner.has_died(f"{machine} {rest}") is None
    assert owner.has_died(machine) is None
