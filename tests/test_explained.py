"""`mlkit help CODE`: what a code means, what is said where it is raised, and what helps."""

from __future__ import annotations

import json

import pytest

from mlkit.cli import main
from mlkit.codes import CODES
from mlkit.codes.page import FAMILIES, CodePage, explain_code, explain_codes
from mlkit.codes.places import Place, read_text
from mlkit.commands.schemas import read_schema


@pytest.fixture(scope="module")
def pages() -> dict[str, CodePage]:
    """What is known about every code."""
    return {page.code: page for page in explain_codes()}


def said(body: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Messages and fixes of the places in a function."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [(place.messages, place.fixes) for place in read_text("mlkit.x", f"def f(given):\n{lines}")]


def test_every_code_is_found_where_it_is_raised(pages) -> None:
    """Each has a place; nearly all say what they say and what to do."""
    assert list(pages) == list(CODES)
    assert all(page.places for page in pages.values())
    assert sum(bool(page.sentences) for page in pages.values()) > 0.95 * len(pages)
    assert sum(bool(page.fixes) for page in pages.values()) > 0.9 * len(pages)


def test_one_code_is_what_it_is_among_all(pages) -> None:
    """The quick look-up of one reads the same as the look-up of all."""
    for code in ("CFG009", "DAT060", "STO033"):
        assert explain_code(code) == pages[code]


def test_families_are_those_of_the_codes(pages) -> None:
    """Each code has one; its error decides the exit code and the builtin."""
    assert {code[:3] for code in CODES} == set(FAMILIES)
    assert (pages["DAT060"].family.exit_code, pages["DAT060"].family.builtin) == (10, "ValueError")
    assert (pages["STO033"].family.exit_code, pages["STO033"].family.builtin) == (20, "OSError")


def test_a_terminal_is_told_what_why_and_how(capsys) -> None:
    """Meaning, sentences with their fixes, module, error, exit code and page."""
    assert main(["help", "cfg019"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"CFG019  {CODES['CFG019']}\n")
    assert "says    format <found> was written by a newer mlkit" in told
    assert "fix   upgrade mlkit-sdk" in told
    assert "from    mlkit.frozen" in told
    assert "ConfigError (ValueError), exit code 2" in told
    assert "reference/errors/CFG019" in told


def test_a_code_of_many_places_stays_short(capsys) -> None:
    """A terminal shows the first ones and says how many more there are."""
    assert main(["help", "CFG009"]) == 0
    told = capsys.readouterr().out
    assert len(told.splitlines()) < 20
    assert "more on its page" in told


def test_programs_are_told_all(capsys) -> None:
    """`--json` holds every place."""
    assert main(["help", "CFG009", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 2
    assert len(told["places"]) > 10
    assert {"module", "function", "messages", "fixes"} == set(told["places"][0])


def test_a_command_tells_its_schema(capsys) -> None:
    """As a file, or as a field with `--json`; of a command that is one."""
    assert main(["help", "--schema", "plan"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == read_schema("plan")
    assert schema["title"] == "mlkit plan --json"
    assert "kind" in schema["$defs"]["Plan"]["required"]
    assert main(["help", "plan", "--schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"command": "plan", "schema": schema}
    assert main(["help", "paln", "--schema"]) == 2
    assert "did you mean 'plan'?" in capsys.readouterr().err
    assert main(["help", "--schema"]) == 2
    assert "fix: mlkit help --schema plan" in capsys.readouterr().err


def test_a_sentence_is_read_wherever_it_was_put() -> None:
    """Written out, assigned before, in one of two branches, added up, or in a table of the module."""
    assert said('raise E("CFG001", "a b", fix="c d")') == [(("a b",), ("c d",))]
    assert said('message = f"a {given}"\nraise E("CFG001", message)') == [(("a <given>",), ())]
    assert said('message, fix = "a b", "c d"\nraise E("CFG001", message, fix=fix)') == [(("a b",), ("c d",))]
    assert said('fix = "a b" if given else "c d"\nraise E("CFG001", "x y", fix=fix)')[0][1] == ("a b", "c d")
    assert said('raise E("CFG001", "a b" + f" {given.name}")')[0][0] == ("a b <name>",)
    assert said('raise E("CFG001", f"a {len(given)} b")')[0][0] == ("a <...> b",)


def test_only_what_may_hold_at_a_place_is_read() -> None:
    """A branch that left is over, a branch that did not may be the one, and later words do not count."""
    left = 'if given:\n    fix = "a b"\n    raise E("CFG002", "x y", fix=fix)\nfix = "c d"\n'
    assert said(f'{left}raise E("CFG001", "x y", fix=fix)\nfix = "e f"')[1] == (("x y",), ("c d",))
    either = 'if given:\n    fix = "a b"\nelse:\n    fix = "c d"\n'
    assert set(said(f'fix = "e f"\n{either}raise E("CFG001", "x y", fix=fix)')[0][1]) == {"a b", "c d"}
    perhaps = 'fix = "a b"\nif given:\n    fix = "c d"\n'
    assert set(said(f'{perhaps}raise E("CFG001", "x y", fix=fix)')[0][1]) == {"a b", "c d"}
    assert said('raise E("CFG001", given)') == [((), ())]


def test_tables_of_errors_are_read_too() -> None:
    """A row of a table, a call that makes a row, and a dictionary by code."""
    rows = 'ROWS = {1: (E, "STO001", "it says", "do this"), 2: Row("STO002", "it tells", "do that")}\n'
    fixes = 'FIXES = {"STO003": "do it again"}\n'
    found = {place.code: place for place in read_text("mlkit.x", rows + fixes)}
    assert found["STO001"] == Place("STO001", "mlkit.x", "", ("it says",), ("do this",))
    assert found["STO002"].messages == ("it tells",)
    assert found["STO003"].fixes == ("do it again",)


def test_a_place_names_its_function() -> None:
    """Class and method, or nothing at the top of a module."""
    text = 'class A:\n    def b(self):\n        raise E("CFG001", "a b")\n'
    assert [place.function for place in read_text("mlkit.x", text)] == ["A.b"]
