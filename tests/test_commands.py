"""The words of the command line: every command with its help, the nearest word, and completion in a shell."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import types
from pathlib import Path

import pytest

import mlkit.verbs
from mlkit import quick_verbs
from mlkit.cli import main
from mlkit.commands.parser import COMMANDS, GROUPS, make_parser, parse, subparsers
from mlkit.errors import UsageError
from mlkit.nearest import nearest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_examples_and_ends_with_a_page(name) -> None:
    """Each example is a command that parses, with its meaning; the page is there; somebody does the work."""
    command = COMMANDS[name]
    lines = subparsers(make_parser(only=name))[name].format_help().splitlines()
    assert lines[0].rstrip(".?").lower() == command.summary.rstrip("?").lower()
    assert lines[2] == "examples:"
    assert [line.strip() for line in lines[3 : 3 + len(command.examples)]] == list(command.examples)
    assert lines[-1] == f"page: {command.page} in the documentation"
    assert len(command.examples) in (2, 3)
    assert any("--json" in line for line in lines)
    assert (DOCS / f"{command.page}.md").is_file()
    homes = {"mlkit.verbs": mlkit.verbs, "mlkit.quick_verbs": quick_verbs}
    assert callable(getattr(homes[command.home], f"{name}_verb"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "completion"])
def test_each_example_is_a_command_that_parses(name) -> None:
    """What stands before the two spaces, as a shell would split it."""
    for line in COMMANDS[name].examples:
        words, _, meaning = line.partition("  ")
        program, *rest = shlex.split(words)
        assert program == "mlkit"
        assert meaning.strip()
        assert parse(rest).verb in COMMANDS


@pytest.mark.parametrize(
    ("system", "text", "words"),
    [
        ("posix", "--rows 100 'a b'", ["--rows", "100", "a b"]),
        ("nt", r'--file C:\data\june.csv "a b"', ["--file", r"C:\data\june.csv", "a b"]),
    ],
)
def test_a_script_gets_its_words_as_the_system_splits_them(monkeypatch, system, text, words) -> None:
    """On Windows a backslash is part of a path."""
    given = []
    monkeypatch.setattr(mlkit.verbs, "os", types.SimpleNamespace(name=system))
    monkeypatch.setattr(mlkit.verbs, "watch", lambda script, **asked: given.extend(asked["arguments"]))
    with pytest.raises(AttributeError):  # there is no report to show
        mlkit.verbs.watch_verb(parse(["watch", "x.py", "--once", f"--args={text}"]))
    assert given == words


def test_the_help_lists_every_command_once() -> None:
    """By group, before usage and exit codes."""
    text = make_parser(only="").format_help()
    listed = text.partition("usage:")[0]
    for title, commands in GROUPS.items():
        assert f"\n{title}:\n" in listed
        assert all(f"\n  {command.name} " in listed for command in commands)
    assert "21 lost the race" in text.partition("usage:")[2]


@pytest.mark.parametrize(
    ("words", "place", "fix"),
    [
        (["plna"], "plna", "did you mean 'plan'?"),
        (["xyzzy"], "xyzzy", "known: "),
        (["deploy", "x", "--reson", "y"], "--reson", "did you mean '--reason'?"),
        (["rollback", "x", "--reson=y"], "--reson", "did you mean '--reason'?"),
        (["deploy", "x", "--reas", "y"], "--reas", "did you mean '--reason'?"),
        (["serve", "x", "--policy", "fats"], "fats", "did you mean 'fast'?"),
        (["completion", "tcsh"], "tcsh", "known: bash, fish, zsh"),
        (["plan", "x", "y"], "y", "mlkit plan --help"),
        (["rollback", "x"], "", "mlkit rollback --help"),
        (["diff", "x", "1", "two"], "", "mlkit diff --help"),
    ],
)
def test_a_wrong_word_is_refused_with_the_nearest(words, place, fix) -> None:
    """A command, an option, a value; what is shortened is refused too, for it could become another one."""
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert (caught.value.code, caught.value.path) == ("CLI001", place)
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("Flights", ["flights", "trains"], "did you mean 'flights'?"),
        ("hist_delay", ["Hist_Delay"], "did you mean 'Hist_Delay'?"),
        ("a", [], ""),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [f"n{number:02}" for number in range(20)], "n11 and 8 more"),
    ],
)
def test_the_nearest_name(word, known, said) -> None:
    """Whatever its case; without a near one, what there is."""
    assert nearest(word, known).endswith(said)
    assert bool(nearest(word, known)) == bool(known)


def completed(folder, *words) -> list[str]:
    """What bash offers for the last word of a command line."""
    line = " ".join(shlex.quote(word) for word in words)
    program = (
        f"source {folder / 'complete.bash'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mlkit; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    done = subprocess.run(
        [bash, "--norc", "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def shell(tmp_path, capsys):
    """A folder with a config, two targets and the script for bash."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    (tmp_path / "models").mkdir()
    for name in ("flight_delay.yaml", "flight_delay.provenance.json", "trains.yml"):
        (tmp_path / "models" / name).touch()
    (tmp_path / "mlkit.toml").write_text("[targets.dev]\n[targets.prod]\n[targets.prod.serving]\n")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "complete.bash").write_text(capsys.readouterr().out)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["mlkit", "pl"], ["plan"]),
        (["mlkit", "--v"], ["--version"]),
        (["mlkit", "deploy", ""], ["flight_delay", "trains"]),
        (["mlkit", "deploy", "tr"], ["trains"]),
        (["mlkit", "deploy", "trains", "--re"], ["--reason"]),
        (["mlkit", "plan", "trains", "--target", ""], ["dev", "prod", "local"]),
        (["mlkit", "serve", "trains", "--policy", "f"], ["fast"]),
        (["mlkit", "completion", ""], ["bash", "zsh", "fish"]),
        (["mlkit", "fingerprint", "x"], []),
        (["mlkit", "nonsense", "--"], []),
    ],
)
def test_bash_completes(shell, words, offered) -> None:
    """Commands, options, values, and the names of configs and targets in the working directory."""
    assert completed(shell, *words) == offered


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_are_told_the_same_words(capsys, name) -> None:
    """Each command and each of its options stands in the script, with what it means."""
    assert main(["completion", name]) == 0
    script = capsys.readouterr().out
    for command, parser in subparsers(make_parser()).items():
        part = [line for line in script.splitlines() if f" {command})" in line or f"from {command}'" in line]
        assert part
        options = {
            text for action in parser.actions for text in action.option_strings if text.startswith("--")
        }
        assert all(text.removeprefix("--") in " ".join(part) for text in options)
    if shell := shutil.which(name):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_help_of_a_command_or_a_code(capsys) -> None:
    """A code in any case; a name that is near to one is named."""
    assert main(["help", "deploy"]) == 0
    assert capsys.readouterr().out.startswith("Bring a frozen config into production.\n\nexamples:\n")
    assert main(["help", "deplyo"]) == 2
    assert "did you mean 'deploy'?" in capsys.readouterr().err
    assert main(["help", "cli01"]) == 2
    assert "did you mean 'CLI" in capsys.readouterr().err
