"""The generated half of the documentation: complete, up to date, and loud where a text is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlkit
from mlkit.codes import CODES
from mlkit.commands.parser import COMMANDS
from mlkit.errors import EXIT_RACE
from tests.checks.reference import catalogues, errors, fields, names, pages, plain_texts
from tests.checks.reference.__main__ import main

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_no_page_is_stale(capsys) -> None:
    """What stands in the repository is what the code says; `make docs` asks the same."""
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_page_is_found_and_mended(tmp_path) -> None:
    """An edit between the marks is noticed, and undone; what stands around them stays."""
    page = tmp_path / "reference" / "exits.md"
    page.parent.mkdir()
    page.write_text("# Ends\n\n<!-- generated: exits -->\nold\n<!-- end -->\nMine.\n", encoding="utf-8")
    assert pages.stale_pages(tmp_path) == ["exits.md"]
    pages.write_kept(tmp_path)
    assert pages.stale_pages(tmp_path) == []
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.endswith("<!-- end -->\nMine.\n")
    assert "| 10 |" in text


def test_made_pages_come_and_go(tmp_path) -> None:
    """A page for each code and each public name; one of something that is gone is removed."""
    gone = tmp_path / "reference" / "errors" / "CFG999.md"
    gone.parent.mkdir(parents=True)
    gone.write_text("old", encoding="utf-8")
    pages.write_made(tmp_path)
    assert {page.stem for page in gone.parent.glob("*.md")} == set(CODES)
    assert {page.stem for page in (tmp_path / "reference" / "python").glob("*.md")} == set(mlkit.__all__)
    text = (gone.parent / "DAT060.md").read_text(encoding="utf-8")
    assert CODES["DAT060"] in text
    assert "fill them in prepare" in text
    assert "exit code 10" in text


def test_every_command_code_and_name_is_listed() -> None:
    """The lists of the reference are complete."""
    listed = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## `mlkit (\S+)`", listed, re.MULTILINE)) == set(COMMANDS)
    assert set(re.findall(r"errors/(\w+)\.md", (REFERENCE / "codes.md").read_text("utf-8"))) == set(CODES)
    assert set(re.findall(r"python/(\w+)\.md", names.names_of(""))) == set(mlkit.__all__)


def test_every_public_name_is_shown_at_work() -> None:
    """A page that people have written shows each name in code, and its own page links there."""
    written = names.read_pages(ROOT / "docs")
    assert [name for name in mlkit.__all__ if not names.used_in(name, written)] == []
    page = names.name_pages(ROOT / "docs")["reference/python/Gate.md"]
    assert "(../../start/first-champion.md)" in page


def test_every_part_of_a_config_and_a_target_is_explained() -> None:
    """A table for each spec that a file may hold, with types in plain words."""
    shown = fields.fields_of("mlkit.model.gate.Gate gate.")
    assert "| `gate.threshold` | number | none | Score that the candidate must reach" in shown
    assert "`minimize`, `maximize`" in shown
    pages_of = [(REFERENCE / name).read_text(encoding="utf-8") for name in ("config.md", "targets.md")]
    assert len(re.findall(r"generated: fields", "".join(pages_of))) == 14


@pytest.mark.parametrize(
    ("name", "listed"), [("variables", catalogues.variables_of), ("tags", catalogues.tags_of)]
)
def test_a_name_without_a_text_is_an_error(monkeypatch, tmp_path, name, listed) -> None:
    """Whoever adds a variable or a tag is asked for its meaning; so is who leaves one behind."""
    part, text = {"variables": ("mlkit", "MLKIT_HOME"), "tags": ("runs", "mlkit_kind")}[name]
    whole = (catalogues.TEXTS / f"{name}.txt").read_text(encoding="utf-8")
    monkeypatch.setattr(catalogues, "TEXTS", tmp_path)
    (tmp_path / f"{name}.txt").write_text(re.sub(rf"(?m)^{text}  .*\n", "", whole), encoding="utf-8")
    with pytest.raises(KeyError, match=f"add a sentence for {text}"):
        listed(part)
    (tmp_path / f"{name}.txt").write_text(f"{whole}{text}_GONE  nothing\n", encoding="utf-8")
    with pytest.raises(KeyError, match="which the code does not name"):
        listed(part)


def test_variables_and_tags_are_read_from_the_code() -> None:
    """Constants, look-ups in the environment and names that are put together."""
    assert {"MLKIT_HOME", "MLKIT_STEPS", "DATABRICKS_RUNTIME_VERSION"} <= catalogues.variable_names()
    assert {"mlkit_kind", "mlkit_train_table", "mlkit_job_run"} <= catalogues.tag_names()


def test_a_field_without_a_text_is_an_error(monkeypatch) -> None:
    """So is a column."""
    monkeypatch.setattr(fields, "attributes_of", lambda _: {"threshold": "Score."})
    with pytest.raises(KeyError, match="Gate"):
        fields.fields_of("mlkit.model.gate.Gate gate.")
    with pytest.raises(KeyError, match="seq"):
        catalogues.columns_of("mlkit.production.records:SCHEMA counts")


def test_exit_codes_are_those_of_the_errors() -> None:
    """Each number of the tree is explained on the page, and none that nothing gives."""
    table, _, generated = (REFERENCE / "exit-codes.md").read_text("utf-8").partition("<!-- generated")
    told = set(map(int, re.findall(r"(?m)^\| (\d+) \|", table)))
    raised = set(map(int, re.findall(r"(?m)^\| (\d+) \|", generated)))
    assert raised == {family.exit_code for family in errors.FAMILIES.values()} | {EXIT_RACE}
    assert raised <= told
    assert told - raised == {0, 5, 6, 7, 8, 70, 130}


def test_a_text_for_programs_has_no_directives() -> None:
    """An object is its signature and docstring, its members behind it; marks and anchors are gone."""
    directive = "::: mlkit.model.gate.Gate\n    options:\n      x: 1\n"
    text = f"# Gate {{ #gate }}\n\n<!-- a mark -->\nRules.\n\n{directive}\nEnd.\n"
    told = plain_texts.plain_text(text)
    assert told.startswith("# Gate\n\nRules.\n")
    assert "class Gate\n    threshold:" in told
    assert told.endswith("\nEnd.\n")
    told = plain_texts.plain_text("::: mlkit.workspace.open_workspace\n")
    assert told.startswith("```python\nopen_workspace(target: str | None=None")
    assert "Workspace.engine" not in told
