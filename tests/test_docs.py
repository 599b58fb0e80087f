"""The documentation is true: its code runs as it stands, its commands parse, and its lists are complete."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import mlkit
from mlkit.commands.parser import COMMANDS, parse
from mlkit.errors import MlkitError
from mlkit.targets import read_targets
from tests.docs import run_pages
from tests.docs.blocks import ROOT, Block, commands, read_page, script_of, why_compiled_only
from tests.docs.blocks import pages as all_pages

PAGES = all_pages()
TWICE = "README.md"
"""Its ten lines are run twice."""
RUN = [page for page in PAGES if script_of(read_page(page)) and not why_compiled_only(page)]


@pytest.fixture(scope="module")
def told(tmp_path_factory, empty_store) -> dict[str, list[dict[str, str]]]:
    """What each run of each page printed and what stopped it, all run one after the other."""
    folder = tmp_path_factory.mktemp("pages")
    result = folder / "told.json"
    command = [sys.executable, run_pages.__file__, str(empty_store), str(result), *RUN, TWICE]
    own = {"PYTHONPATH": str(ROOT), "MLKIT_TARGET": "local", "MLKIT_QUIET": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **own}
    with contextlib.suppress(subprocess.TimeoutExpired):  # a page that was not reached is named by its test
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=540)
    return json.loads(result.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs_as_it_stands(told, page) -> None:
    """Its blocks, as one script in an empty folder, with the files that it tells to save."""
    assert page in told, "a page before it did not end"
    assert [run["error"] for run in told[page]] == [""] * len(told[page])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in RUN if any(block.title == "output" for block in read_page(page))]
)
def test_a_page_prints_what_it_shows(told, page) -> None:
    """The lines of its outputs come in that order; numbers and digests may be others."""
    printed = [masked(line) for line in told[page][0]["printed"].splitlines()]
    for block in read_page(page):
        for line in block.text.splitlines() if block.title == "output" else ():
            pattern = re.compile(".*".join(map(re.escape, masked(line).split("..."))))
            place = next((place for place, text in enumerate(printed) if pattern.fullmatch(text)), None)
            assert place is not None, f"{page}:{block.line}: not printed, or before: {line}"
            printed = printed[place + 1 :]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_tutorial_keeps_its_promises(told) -> None:
    """Every step happens, with the outcomes that the text tells of."""
    printed = told["docs/start/first-champion.md"][0]["printed"]
    for promised in ("DAT060", "promoted  diabetes v1", "unchanged", "primary", "rehearsed"):
        assert promised in printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_ten_lines_change_nothing_the_second_time(told) -> None:
    """From a dataframe to a champion, and again: unchanged."""
    first, second = told[TWICE]
    assert "promoted" in first["printed"]
    assert "unchanged" in second["printed"]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one(page) -> None:
    """Each `$ mlkit ...` is understood by the real parser, and commands stand in console blocks."""
    for block in read_page(page):
        if block.language == "console":
            for line, words in commands(block):
                if words[0] == "mlkit":
                    understood(words, f"{page}:{line}")
        elif block.language in ("", "text", "bash", "sh") and not page.startswith("docs/reference/"):
            bare = [line for line in block.text.splitlines() if re.match(r"(\$ )?mlkit [a-z]", line)]
            assert bare == [], f"{page}:{block.line}: a command stands in a console block, behind `$ `"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_a_page_can_be_read(page, tmp_path) -> None:
    """TOML, YAML and JSON parse, Python compiles, and a file of targets is accepted."""
    for block in read_page(page):
        readable(block, f"{page}:{block.line}")
        if block.title == "mlkit.toml":
            (tmp_path / "mlkit.toml").write_text(block.text, encoding="utf-8")
            assert len(read_targets(tmp_path / "mlkit.toml")) > 1


@pytest.mark.parametrize("page", [page for page in PAGES if why_compiled_only(page)])
def test_python_that_is_not_run_names_what_there_is(page) -> None:
    """What it imports of mlkit is there, and methods of a project take the arguments that they get."""
    for block in read_page(page):
        for node in ast.walk(ast.parse(block.text)) if block.language == "python" else ():
            known(node, f"{page}:{block.line}")


def test_the_checks_of_blocks_find_what_is_wrong(tmp_path) -> None:
    """A wrong option, a broken file and an unknown method do not pass."""
    with pytest.raises(pytest.fail.Exception, match="no option"):
        understood(["mlkit", "plan", "flights", "--tarjet", "prod"], "here")
    with pytest.raises(tomllib.TOMLDecodeError):
        readable(Block("toml", "", "[", 1), "here")
    with pytest.raises(AssertionError):
        known(ast.parse("project.deploi(config)").body[0].value, "here")
    with pytest.raises(AssertionError):
        known(ast.parse("project.deploy(config, reasons='june')").body[0].value, "here")
    text = '$ MLKIT_TARGET=dev mlkit plan a | mlkit deploy "b; c" \\\n    --json  # it is\nok\n'
    assert masked("v2  rmse -1,234.5 of d1:0123456789ab, a-1.2.whl") == "v# rmse # of d##, a-#whl"
    found = list(commands(Block("console", "", text, 3)))
    assert found == [(3, ["mlkit", "plan", "a"]), (3, ["mlkit", "deploy", "b  c", "--json"])]


def test_the_example_is_what_the_readme_shows() -> None:
    """The ten lines exist once, in three places; they are run where the readme has them."""
    example = (ROOT / "examples" / "ten_lines.py").read_text(encoding="utf-8")
    for page in ("README.md", "docs/index.md"):
        first = next(block for block in read_page(page) if block.language == "python")
        assert example.endswith(first.text), page


def test_every_command_is_explained() -> None:
    """No command is without a line of help."""
    assert all(command.summary and command.examples and command.page for command in COMMANDS.values())


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/start/install.md"])
def test_nobody_is_told_to_install_the_wrong_distribution(page) -> None:
    """`mlkit` on the index is not ours."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.search(r"pip install (-\S+ )*['\"]?mlkit(?!-sdk)\b", text)


def masked(line: str) -> str:
    """A line whose numbers and digests are all the same, and whose blanks are single."""
    line = re.sub(r"\b[0-9a-f]{8,}\b", "#", " ".join(line.split()))
    return re.sub(r"(?:(?<=[\s=(,])-)?\d[\d,.:_]*", "#", line)


def understood(words: list[str], where: str) -> None:
    """Fail if the command line does not understand a command."""
    if "--help" in words:
        words = words[: words.index("--help")]
    try:
        parse(words[1:])
    except MlkitError as error:
        pytest.fail(f"{where}: {' '.join(words)}: {error}")


def readable(block: Block, where: str) -> None:
    """Fail if a block is not of its language."""
    match block.language:
        case "python":
            compile(block.text, where, "exec")
        case "toml":
            tomllib.loads(block.text)
        case "yaml":
            list(yaml.safe_load_all(block.text))
        case "json":
            json.loads(block.text)


def known(node: ast.AST, where: str) -> None:
    """Fail if an import of mlkit or a call of a project's method names what there is not."""
    match node:
        case ast.ImportFrom(module=str() as module, names=names) if module.partition(".")[0] == "mlkit":
            missing = [name.name for name in names if not hasattr(importlib.import_module(module), name.name)]
            assert missing == [], where
        case ast.Call(func=ast.Attribute(value=ast.Name(id="project"), attr=method), keywords=words):
            assert hasattr(mlkit.ModelProject, method), f"{where}: project.{method}"
            taken = inspect.signature(getattr(mlkit.ModelProject, method)).parameters
            any_word = any(given.kind is given.VAR_KEYWORD for given in taken.values())
            assert any_word or {word.arg for word in words} <= set(taken), f"{where}: project.{method}"
