"""Workers of one service: what each is told, and how they see each other."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlkit import open_workspace
from mlkit.production.service import board as module
from mlkit.production.service.assignment import Assignment, serving_folder
from mlkit.production.service.board import Board
from mlkit.production.service.limits import Settings
from mlkit.production.stores import Stores


@pytest.fixture
def board(tmp_path) -> Board:
    """The board of this process."""
    return Board(tmp_path / "a" / "board")


@pytest.fixture
def workspace(tmp_path):
    """A local workspace whose stores are not needed."""
    return open_workspace("local", home=tmp_path / "home")


def test_a_board_begins_empty(board) -> None:
    """Its folder is made; to leave without a word is no error, and nobody has asked for anything."""
    board.leave()
    assert (board.read(), board.was_poked()) == ([], False)


def test_the_last_word_counts(board) -> None:
    """With who said it, and nothing of what was said before."""
    board.post({"counts": {"a": 1}, "old": True})
    board.post({"counts": {"a": 2}, "pid": 0})
    [state] = board.read()
    assert (state["counts"], state["pid"], state["alive"]) == ({"a": 2}, os.getpid(), True)
    assert "old" not in state


def test_who_left_is_counted_and_not_waited_for(board) -> None:
    """Until it speaks again."""
    board.post({"rows": 3})
    board.leave()
    [state] = board.read()
    assert (state["rows"], state["alive"]) == (3, False)
    board.post({"rows": 4})
    assert board.read()[0]["alive"]


@pytest.mark.parametrize(("ago", "alive"), [(9.9, True), (10.1, False)])
def test_who_is_silent_for_ten_seconds_is_not_alive(board, monkeypatch, ago, alive) -> None:
    """It may have been killed."""
    board.post({})
    said = board.read()[0]["at"]
    monkeypatch.setattr(module.time, "time", lambda: said + ago)
    assert board.read()[0]["alive"] is alive


def test_a_word_is_read_whole_at_any_time(board) -> None:
    """Also while a worker leaves."""
    board.post({"text": "x" * 100_000})
    done, wrong = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            try:
                wrong.extend(1 for state in board.read() if len(state["text"]) != 100_000)
            except json.JSONDecodeError as exc:
                wrong.append(exc)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(25):
        board.leave()
        board.post({"text": "x" * 100_000})
    done.set()
    reader.join(20)
    assert wrong == []


def test_two_threads_of_a_worker_speak_at_once(board) -> None:
    """The one that posts now and then, and the one that is asked for the counts."""

    def post(letter) -> None:
        for _ in range(100):
            board.post({"text": letter * 50_000})

    with ThreadPoolExecutor(2) as pool:
        for posted in [pool.submit(post, letter) for letter in "ab"]:
            posted.result(20)
    [state] = board.read()
    assert state["text"] in ("a" * 50_000, "b" * 50_000)


def test_a_poke_reaches_each_other_worker_once(tmp_path) -> None:
    """Not the one that poked, nor those that came later."""
    first, second = Board(tmp_path), Board(tmp_path)
    first.poke()
    assert (first.was_poked(), second.was_poked(), second.was_poked()) == (False, True, False)
    third = Board(tmp_path)
    assert third.was_poked() is False
    os.utime(tmp_path / "refresh", (1, 1))
    assert [one.was_poked() for one in (first, second, third)] == [True, True, True]


def test_an_assignment_travels_as_one_line(workspace, tmp_path) -> None:
    """And names the same stores at the other end."""
    settings = Settings(port=0, policy="fast", refresh_seconds=1.5)
    stores = Stores(workspace, "flights")
    told = Assignment.of(stores, settings, trial="é\n", board=tmp_path / "b", listener=7)
    text = told.to_text()
    assert "\n" not in text
    again = Assignment.from_text(text)
    assert again == told
    assert (again.settings.policy, again.trial, Path(again.board)) == ("fast", "é\n", tmp_path / "b")
    found = again.stores()
    assert (found.project, found.workspace.home, found.workspace.target) == (
        "flights",
        workspace.home,
        "local",
    )


def test_an_assignment_of_settings_that_are_wrong_is_refused(workspace, tmp_path) -> None:
    """Bounds are checked wherever they arrive."""
    told = Assignment.of(Stores(workspace, "p"), Settings(), trial="", board=tmp_path, listener=0)
    values = dataclasses.asdict(told)
    values["settings"]["workers"] = 0
    with pytest.raises(ValueError, match="CLI055"):
        Assignment.from_text(json.dumps(values))


def test_each_project_has_files_of_its_own(workspace) -> None:
    """Below those of the target."""
    one, other = (serving_folder(Stores(workspace, name)) for name in ("one", "other"))
    assert one != other
    assert workspace.folder in one.parents
