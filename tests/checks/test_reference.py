"""The generated half of the documentation: complete, up to date, and loud where a text is missing."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

import mlkit
from mlkit.codes import CODES
from mlkit.commands.parser import COMMANDS
from mlkit.commands.schemas import read_schema
from mlkit.errors import EXIT_RACE, MlkitError
from tests.checks.reference import catalogues, errors, fields, kinds, names, pages, plain_texts, shapes
from tests.checks.reference.__main__ import main
from tests.schemas import complaint

if TYPE_CHECKING:
    import datetime as dt

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
    assert {file.stem for file in (tmp_path / "reference" / "json").glob("*.json")} == set(COMMANDS)
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
    assert told - raised == {0, 5, 6, 7, 8, 9, 70, 130}


class Part(NamedTuple):
    """A part.

    Attributes:
        size: How large.
    """

    size: int


@dataclasses.dataclass(frozen=True)
class Whole:
    """A result.

    Attributes:
        name: What it is called.
        at: When.
        parts: What it has.
        by_name: The same by name.
        note: None if there is none.
    """

    name: Literal["a", "b"]
    at: dt.datetime
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    note: str | None

    @property
    def count(self) -> int:
        """How many."""
        return len(self.parts)

    def to_dict(self):
        """In several statements, as some results are printed."""
        said = {**{name: getattr(self, name) for name in ("name", "note")}, "at": self.at.isoformat()}
        if self.note is None:
            return {**said, "parts": [part._asdict() for part in self.parts], "count": self.count}
        del said["note"]
        return {**said, "by_name": {name: part._asdict() for name, part in self.by_name.items()}}


class Unclear(Whole):
    """It cannot be known what this prints."""

    def to_dict(self):
        """It is computed."""
        return dict(zip(self.name, self.parts, strict=True))


class Silent(Whole):
    """A field of this is explained nowhere."""

    def to_dict(self):
        """It is."""
        return {"size": len(self.parts)}


def test_a_schema_is_what_the_code_says() -> None:
    """Types of fields and properties, sentences of docstrings, a shape for each end; all of it required."""
    first, second = (shape.schema() for shape in shapes.shapes_of(kinds.Form(Whole, "to_dict")))
    part = {"$ref": kinds.Form(Part, "fields")}
    assert first == {
        "type": "object",
        "properties": {
            "name": {"description": "What it is called.", "enum": ["a", "b"]},
            "note": {"description": "null if there is none.", "type": ["string", "null"]},
            "at": {"description": "When.", "type": "string", "format": "date-time"},
            "parts": {"description": "What it has.", "type": "array", "items": part},
            "count": {"description": "How many.", "type": "integer"},
        },
        "required": ["name", "note", "at", "parts", "count"],
        "additionalProperties": False,
    }
    assert second["required"] == ["name", "at", "by_name"]
    assert second["properties"]["by_name"]["additionalProperties"] == part


def test_what_cannot_be_followed_or_is_not_explained_is_an_error() -> None:
    """Nothing is guessed, and nothing is left out."""
    with pytest.raises(TypeError, match=r"Unclear.to_dict: nothing tells what zip gives"):
        shapes.shapes_of(kinds.Form(Unclear, "to_dict"))
    (shape,) = shapes.shapes_of(kinds.Form(Silent, "to_dict"))
    with pytest.raises(KeyError, match="size: the class, or a property of that name"):
        shape.schema()


def test_every_schema_is_one() -> None:
    """A validator takes each; the objects of a command are all in it."""
    jsonschema = pytest.importorskip("jsonschema")
    for command in COMMANDS:
        schema = read_schema(command)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert set(re.findall(r"#/\$defs/([\w.]+)", json.dumps(schema))) == set(schema["$defs"])


def test_an_output_that_is_not_as_published_is_found() -> None:
    """One field more, one less, another type; an error is an answer of every command."""
    pytest.importorskip("jsonschema")
    values = {"file": "a.csv", "fingerprint": "d1:0"}
    assert complaint("fingerprint", values) == ""
    assert complaint("fingerprint", {**values, "rows": 3}).startswith("mlkit fingerprint --json: $")
    assert complaint("fingerprint", {"file": "a.csv"})
    assert complaint("fingerprint", {**values, "file": None})
    assert complaint("fingerprint", {"error": MlkitError("DAT010", "no rows").to_dict()}) == ""


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
