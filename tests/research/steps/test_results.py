"""The folder of results by itself: written whole, read back checked, listed, trimmed and locked."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mlkit.errors import UsageError
from mlkit.research.steps.forms import Packed
from mlkit.research.steps.listing import StepList
from mlkit.research.steps.reach import Part
from mlkit.research.steps.step import steps_mode
from mlkit.research.steps.store import DamagedError, Made, StepStore, limit_bytes
from mlkit.research.steps.values import Values, token_of

KEY, OTHER = "a" * 32, "b" * 32
EFFECTS = [["out", "é\n"]]


def made(value, *, step="load", seconds=1.5):
    """A result to be stored."""
    packed = Packed(Values(token_of).digest)
    outline, _ = packed.pack(value)
    return Made(step, outline, packed.files, EFFECTS, seconds)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store, whose folder is not there yet."""
    monkeypatch.delenv("MLKIT_STEPS_GB", raising=False)
    return StepStore(tmp_path / "deep" / "steps")


def used(store, key, moment):
    """Let a result be used last at a moment."""
    os.utime(store.folder / "entries" / key / "manifest.json", (moment, moment))


def test_a_result_is_read_as_it_was_written(store) -> None:
    """Value, effects and seconds; reading what is not there makes no folder."""
    assert store.read(KEY) is None
    assert (store.entries(), store.clear(), store.recent("load")) == ([], 0, [])
    assert not store.folder.exists()
    store.write(KEY, made({"a": np.arange(3), "b": "é"}))
    found = store.read(KEY)
    assert found.value["a"].tolist() == [0, 1, 2]
    assert (found.value["b"], found.effects, found.seconds) == ("é", EFFECTS, 1.5)
    assert store.read(OTHER) is None
    found.value["a"][0] = 99
    assert store.read(KEY).value["a"][0] == 0


def test_the_first_result_of_a_key_stays(store) -> None:
    """A second process that computed the same leaves nothing behind."""
    store.write(KEY, made(1))
    store.write(KEY, made(2))
    assert store.read(KEY).value == 1
    assert list((store.folder / "staging").iterdir()) == []


def test_a_result_under_another_key_is_damaged(store) -> None:
    """A folder that was moved is not taken for another call's, and is gone afterwards."""
    store.write(KEY, made(1))
    (store.folder / "entries" / KEY).rename(store.folder / "entries" / OTHER)
    with pytest.raises(DamagedError, match="the stored result was damaged"):
        store.read(OTHER)
    assert store.read(OTHER) is None


def test_a_result_leads_to_a_file_that_changed(store, tmp_path) -> None:
    """Then the file is named, for the result itself is whole."""
    path = tmp_path / "rows.csv"
    path.write_text("a")
    store.write(KEY, made(path))
    assert store.read(KEY).value == path
    path.write_text("b")
    with pytest.raises(DamagedError, match=r"the file `rows.csv` of its result changed"):
        store.read(KEY)
    assert store.entries() == []


def test_reading_is_using(store) -> None:
    """The result used last is the first of the list."""
    for key, step in ((KEY, "load"), (OTHER, "clean")):
        store.write(key, made(1, step=step))
        used(store, key, 1000)
    assert [entry.key for entry in store.entries()] == [KEY, OTHER]
    store.read(OTHER)
    first, second = store.entries()
    assert (first.step, second.step, second.used_at) == ("clean", "load", 1000)
    assert first.used_at > time.time() - 60


def test_clear_removes_one_step_or_all(store) -> None:
    """It gives the bytes that became free; what cannot be read goes with all."""
    for key, step in ((KEY, "load"), (OTHER, "clean")):
        store.write(key, made("x" * 1000, step=step))
    sizes = {entry.step: entry.bytes for entry in store.entries()}
    assert sizes["load"] > 1000
    assert store.clear("lo") == 0
    assert store.clear("load") == sizes["load"]
    (store.folder / "entries" / "junk").mkdir()
    assert store.clear() == sizes["clean"]
    assert list((store.folder / "entries").iterdir()) == []


def test_what_dead_processes_left_is_removed_after_a_day(store) -> None:
    """Not before: its process may still be writing."""
    store.write(KEY, made(1))
    old, young = (store.folder / "staging" / name for name in ("old", "young"))
    for place in (old, young):
        place.mkdir()
    os.utime(old, (1000, 1000))
    store.trim()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_least_recently_used_goes_first(store, monkeypatch) -> None:
    """Until the rest is within the limit."""
    keys = [digit * 32 for digit in "123"]
    for moment, key in enumerate(keys):
        store.write(key, made("x" * 1000))
        used(store, key, 1000 + moment)
    used(store, keys[0], 2000)
    total = sum(entry.bytes for entry in store.entries())
    monkeypatch.setenv("MLKIT_STEPS_GB", str((total - 1) / 1e9))
    store.trim()
    assert [entry.key for entry in store.entries()] == [keys[0], keys[2]]


def test_the_last_calls_of_a_step_are_remembered(store) -> None:
    """The newest first, each key once, and so many at most; steps of like names are told apart."""
    parts = [Part("input", "x", "1", "3 x 2"), Part("code", "", "2")]
    for number in range(30):
        store.remember("load", f"{number}", parts)
    store.remember("load", "25", parts[:1])
    recent = store.recent("load")
    assert len(recent) == 20
    assert [key for key, _ in recent[:3]] == ["25", "29", "28"]
    assert (recent[0][1], recent[1][1]) == (parts[:1], parts)
    assert len({key for key, _ in recent}) == 20
    store.remember("a/b", "1", parts)
    assert store.recent("a b") == []
    assert [key for key, _ in store.recent("a/b")] == ["1"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"key": "1"}]', '[{"key": "1", "parts": [[1]]}]'])
def test_a_broken_memory_is_none(store, text) -> None:
    """It only says why; the next call writes it anew."""
    store.remember("load", "1", [])
    (path,) = (store.folder / "recent").iterdir()
    path.write_text(text)
    assert store.recent("load") == []
    store.remember("load", "2", [])
    assert store.recent("load") == [("2", [])]


def test_the_right_to_compute_is_given_back(store) -> None:
    """After an error too; two keys do not wait for each other."""
    with pytest.raises(ZeroDivisionError), store.computing(KEY):
        _ = 1 / 0
    with store.computing(KEY), store.computing(OTHER):
        assert {path.name for path in (store.folder / "locks").iterdir()} == {KEY, OTHER}
    assert list((store.folder / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 10**9), ("0.5", 5 * 10**8), ("1e-9", 1), (" 2 ", 2 * 10**9)]
)
def test_the_limit_is_in_gigabytes(monkeypatch, text, expected) -> None:
    """Fractions too."""
    monkeypatch.setenv("MLKIT_STEPS_GB", text)
    assert limit_bytes() == expected
    monkeypatch.delenv("MLKIT_STEPS_GB")
    assert limit_bytes() == 5 * 10**9


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "", "1e-10", "5 GB"])
def test_a_limit_that_is_none_is_refused(monkeypatch, text) -> None:
    """Before anything runs, with the variable's name."""
    monkeypatch.setenv("MLKIT_STEPS_GB", text)
    with pytest.raises(UsageError, match="CLI094") as caught:
        limit_bytes()
    assert caught.value.path == "MLKIT_STEPS_GB"


@pytest.mark.parametrize(
    ("text", "mode"),
    [("", "on"), ("on", "on"), ("1", "on"), ("ON", "on"), ("off", "off"), ("0", "off"), ("Lazy", "lazy")],
)
def test_steps_are_switched_by_a_variable(monkeypatch, text, mode) -> None:
    """In any case; the default is on."""
    monkeypatch.setenv("MLKIT_STEPS", text)
    assert steps_mode() == mode


@pytest.mark.parametrize("text", ["true", "no", " on", "lazily"])
def test_another_switch_is_refused(monkeypatch, text) -> None:
    """A typo does not switch them on in silence."""
    monkeypatch.setenv("MLKIT_STEPS", text)
    with pytest.raises(UsageError, match=r"CLI094.*expected on, off or lazy"):
        steps_mode()


def test_the_list_tells_what_is_there(store, monkeypatch) -> None:
    """A line for each result, moments in UTC, and names that a page does not take for markup."""
    monkeypatch.setenv("MLKIT_STEPS_GB", "2")
    listed = StepList(store.folder)
    assert listed.to_dict() == {"entries": [], "limit_bytes": 2 * 10**9}
    store.write(KEY, made(1, step="<b>load", seconds=65.25))
    used(store, KEY, 1_700_000_000)
    (entry,) = listed.to_dict()["entries"]
    assert entry == {
        "step": "<b>load",
        "key": KEY,
        "seconds": 65.25,
        "bytes": listed.entries[0].bytes,
        "hits": 0,
        "saved_seconds": 0.0,
        "used_at": "2023-11-14T22:13:20+00:00",
    }
    head, line, following = repr(listed).splitlines()
    assert head == "1 result of 1 step, 0.00 of 2 GB; 0.0 s saved by hits"
    assert line.split()[:5] == ["<b>load", "1", "x", "0", "hits"]
    assert line.endswith("used 2023-11-14 22:13")
    assert following == "  next    mlkit cache --clear NAME, or project.steps().clear(NAME)"
    assert [store.read(KEY).value, store.read(KEY).value] == [1, 1]
    assert (listed.entries[0].hits, listed.entries[0].saved) == (2, 130.5)
    assert listed.entries[0].bytes == entry["bytes"]
    assert "; 2 m 10 s saved by hits" in repr(listed)
    assert "&lt;b&gt;load" in listed._repr_html_()
    assert "<b>" not in listed._repr_html_()
    assert listed.clear("<b>load") == entry["bytes"]


def test_the_folder_is_its_owners_alone(store) -> None:
    """Made for them on first use, whatever the umask says of others."""
    store.write(KEY, made(1))
    if os.name == "posix":
        modes = {path.stat().st_mode & 0o777 for path in (store.folder, *Path(store.folder).iterdir())}
        assert modes == {0o700}
    store.check()
