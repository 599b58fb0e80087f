"""Copies of models on a shelf: checked before every use, and never taken away under somebody's hands."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from mlkit.engines import durable
from mlkit.errors import IntegrityError, StoreError
from mlkit.production.service.shelf import Chosen, Shelf
from mlkit.tracking.models import MANIFEST

NOT_CALLED = None


def made(folder, content: bytes) -> str:
    """Files of a model with a manifest; gives its digest."""
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps({"files": {"model.bin": entry}}))
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    """An empty one."""
    return Shelf(tmp_path / "deep" / "shelf")


@pytest.fixture
def model(tmp_path):
    """A function that gives a model of some content, and what fetches it."""

    def make(content=b"one"):
        digest = made(tmp_path / "made" / content.decode(), content)

        def fetch(stage):
            made(stage / "files", content)
            return stage / "files"

        return Chosen(1, "m-1", 1, digest), fetch

    return make


def test_a_model_is_fetched_once(shelf, model) -> None:
    """After that it is there, also for another process; its place is named by what is in it."""
    chosen, fetch = model()
    first = shelf.take(chosen, fetch)
    again = Shelf(first.folder.parent).take(dataclasses.replace(chosen, version=2), NOT_CALLED)
    assert (first.folder, (again.folder / "model.bin").read_bytes()) == (again.folder, b"one")
    assert chosen.manifest_digest.startswith(first.folder.name)


def test_a_copy_that_was_changed_is_fetched_again(shelf, model) -> None:
    """A byte, a file that is missing, or one too many."""
    chosen, fetch = model()
    for damage in (
        lambda folder: (folder / "model.bin").write_bytes(b"two"),
        lambda folder: (folder / "model.bin").unlink(),
        lambda folder: (folder / "more.bin").touch(),
        lambda folder: (folder / MANIFEST).write_text("{}"),
    ):
        copy = shelf.take(chosen, fetch)
        copy.close()
        damage(copy.folder)
        mended = shelf.take(chosen, fetch)
        assert sorted(path.name for path in mended.folder.iterdir()) == [MANIFEST, "model.bin"]
        assert (mended.folder / "model.bin").read_bytes() == b"one"
        mended.close()


def test_what_was_fetched_is_not_what_was_recorded(shelf, model) -> None:
    """It is never put on the shelf, and nothing of it stays."""
    (one, _), (_, other) = model(b"one"), model(b"two")
    with pytest.raises(IntegrityError):
        shelf.take(one, other)
    with pytest.raises(StoreError, match="STO031"):
        shelf.take(one, away)
    left = [path for path in shelf._folder.rglob("*") if path.is_file()]
    assert left == []


def away(_):
    """A store that cannot be reached."""
    raise StoreError("STO031", "away")


def broken(_):
    """A disk that is full."""
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_is_said_in_our_words(shelf, model, tmp_path) -> None:
    """With what the system says and without a path."""
    with pytest.raises(StoreError, match="No space left on device") as caught:
        shelf.take(model()[0], broken)
    assert caught.value.code == "STO073"
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        Shelf(tmp_path / "file" / "shelf")
    assert caught.value.code == "STO073"


def test_tidy_keeps_what_is_named_and_what_is_held(shelf, model) -> None:
    """And takes the rest away, whether there is any or not."""
    copies = {}
    for content in (b"kept", b"held", b"free"):
        chosen, fetch = model(content)
        copies[content] = (chosen, shelf.take(chosen, fetch))
    for content in (b"kept", b"free"):
        copies[content][1].close()
        copies[content][1].close()
    for _ in range(2):
        shelf.tidy(copies[b"kept"][0])
        there = {content for content, (_, copy) in copies.items() if copy.folder.exists()}
        assert there == {b"kept", b"held"}
    copies[b"held"][1].close()
    shelf.tidy()
    assert not any(copy.folder.exists() for _, copy in copies.values())


def test_a_copy_that_nobody_can_reach_is_let_go(shelf, model) -> None:
    """Without being closed."""
    chosen, fetch = model()
    folder = shelf.take(chosen, fetch).folder
    shelf.tidy()
    assert not folder.exists()


def test_a_copy_is_held_before_it_has_its_name(shelf, model, monkeypatch) -> None:
    """Another process that tidies at that very moment leaves it there."""
    flush = durable.flush

    def tidied(path) -> None:
        Shelf(shelf._folder).tidy()
        flush(path)

    monkeypatch.setattr(durable, "flush", tidied)
    copy = shelf.take(*model())
    assert (copy.folder / "model.bin").read_bytes() == b"one"
    assert copy.folder.parent == shelf._folder


def test_the_last_note_counts(shelf, model) -> None:
    """It is no copy, and stays when those are tidied."""
    assert shelf.last() is None
    chosen, _ = model()
    shelf.remember(chosen)
    later = dataclasses.replace(chosen, version=2, seq=7)
    shelf.remember(later)
    shelf.tidy()
    assert Shelf(shelf._folder).last() == later
    assert len(list(shelf._folder.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"version": 1}', "\ud800"])
def test_a_note_that_does_not_read_is_as_none(shelf, model, text) -> None:
    """The stores say what serves, then."""
    shelf.remember(model()[0])
    (shelf._folder / "last.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert shelf.last() is None
