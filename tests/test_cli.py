"""The command line: words in, one result on standard output, exit code by outcome."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import Ridge

import mlkit.verbs
from mlkit import Gate, ModelProject, Split, fingerprint
from mlkit.cli import main
from mlkit.research.steps.step import make_step


@pytest.fixture
def project(home, user_module, flights) -> ModelProject:
    """A project with a published feature table."""
    project = ModelProject(
        "flight_delay", target="delay", key="flight_id", metric="rmse", split=Split(seed=7)
    )
    project.publish_features("features.flights", flights)
    return project


@pytest.fixture
def frozen(project, user_module) -> str:
    """A frozen config in the working directory; gives its name."""
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=2, cv=2)
    return project.freeze(study.best, gate=Gate(threshold=10)).name


def run(capsys, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_without_a_command_the_help_is_shown(capsys) -> None:
    """Examples and exit codes are part of it."""
    code, out, _ = run(capsys)
    assert code == 0
    assert "mlkit deploy" in out
    assert "21 lost the race" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plna",), "CLI001", "did you mean 'plan'"),
        (("history",), "CLI001", "name"),
        (("plan", "x", "--nope"), "CLI001", "--nope"),
        (("plan", "unknown_config"), "CFG001", "known under models/"),
        (("plan", "x.yaml", "--target", "moon"), "CFG001", "x.yaml"),
        (("history", "Bad-Name"), "NAM002", "lowercase"),
        (("history", "flights", "--target", "moon"), "CFG030", "local"),
        (("rollback", "flights", "--reason", "x"), "CLI135", "another folder"),
        (("explain", "flights", "3"), "CLI135", "no project 'flights'"),
        (("fingerprint", "none.parquet"), "CLI032", "no such file"),
        (("help", "XYZ999"), "CLI033", "all codes"),
    ],
)
def test_mistakes_are_one_clear_error_with_exit_code_2(home, capsys, words, code, says) -> None:
    """Each says its code, what is wrong and what to do, and nothing is printed as a result."""
    exit_code, out, err = run(capsys, *words)
    assert exit_code == 2
    assert f"[{code}]" in err
    assert says in err
    assert "Traceback" not in err
    assert out == ""


def test_an_error_can_be_read_by_a_program(home, capsys) -> None:
    """With ``--json`` the error is an object on standard output too."""
    code, out, _ = run(capsys, "plan", "unknown_config", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["exit_code"]) == (2, "CFG001", 2)


def test_debug_shows_the_traceback(home, capsys) -> None:
    """What a maintainer asks for is one flag away."""
    _, _, err = run(capsys, "plan", "unknown_config", "--debug")
    assert "Traceback" in err


def test_a_bug_is_exit_code_70(home, capsys, monkeypatch) -> None:
    """An error that nobody foresaw is called a bug, without a traceback."""
    monkeypatch.setattr(mlkit.verbs, "history_verb", lambda options: 1 / 0)
    code, _, err = run(capsys, "history", "flights")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_interrupting_is_not_a_bug(home, capsys, monkeypatch) -> None:
    """Ctrl-C ends with its own exit code and no traceback."""

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(mlkit.verbs, "history_verb", interrupted)
    code, _, err = run(capsys, "history", "flights")
    assert code == 130
    assert "Traceback" not in err


def test_the_life_of_a_config(frozen, capsys) -> None:
    """Plan, deploy, deploy again, look at it, and every result is JSON where asked."""
    code, out, _ = run(capsys, "plan", frozen, "--json", "--exit-code")
    assert (code, json.loads(out)["kind"]) == (5, "primary")
    assert run(capsys, "champion", frozen)[1] == "nothing serves yet\n"
    for verb in ("champion", "history"):
        code, _, err = run(capsys, verb, "other")
        assert (code, err.startswith("error[CLI135] name: no project 'other'")) == (2, True)

    code, out, _ = run(capsys, "deploy", frozen, "--dry-run", "--json")
    assert (code, json.loads(out)["kind"]) == (0, "primary")

    shown = run(capsys, "plan", frozen)[1].splitlines()
    counted = "Plan: primary; 3 tables and 1 version to create, 0 to drop, 1 alias may move."
    saved = shown[-2].removeprefix(f"{counted}  Saved as plan ").removesuffix(".")
    assert shown[-1].startswith(f"Next: mlkit deploy {frozen} --plan {saved} ")
    assert run(capsys, "plan", frozen, "-q", "--out", "plan.json")[1] == f"{counted}\n"
    assert run(capsys, "plan", frozen, "-qq")[1] == ""
    code, out, err = run(capsys, "deploy", frozen, "--plan", "0123abcd")
    assert (code, out, "error[CLI131]" in err) == (2, "", True)

    code, out, _ = run(capsys, "deploy", frozen, "--json", "--reason", "first", "--plan", saved)
    report = json.loads(out)
    assert (code, report["outcome"], report["version"]) == (0, "promoted", 1)
    assert set(report) >= {
        "model",
        "model_id",
        "run_key",
        "config_digest",
        "train",
        "test",
        "predictions",
        "scores",
    }
    assert set(report["train"]) == {"table", "fingerprint", "rows"}
    assert report["verdict"]["passed"] is True

    code, out, _ = run(capsys, "deploy", f"models/{frozen}.yaml", "--json")
    assert (code, json.loads(out)["outcome"]) == (0, "unchanged")
    code, out, _ = run(capsys, "plan", frozen, "--exit-code")
    assert (code, out) == (0, f"{frozen} -> local    nothing: v1 already is this config, code and data\n")
    assert "    environment  " in run(capsys, "plan", frozen, "--all")[1]
    for words in (["--plan", "plan.json"], ["--plan", saved, "--dry-run"]):
        code, out, err = run(capsys, "deploy", frozen, *words)
        assert (code, out) == (2, "")
        assert err.startswith("error[CLI130] plan: the plan is stale: champion changed")
    code, _, err = run(capsys, "history", f"{frozen}s")
    assert code == 2
    assert f"did you mean '{frozen}'?" in err

    entries = json.loads(run(capsys, "history", frozen, "--json")[1])["entries"]
    assert [entry["reason"] for entry in entries] == ["first"]
    assert "serves now" in run(capsys, "explain", frozen, "1")[1]
    assert json.loads(run(capsys, "champion", frozen, "--json")[1])["version"] == 1
    assert run(capsys, "champion", frozen)[1].endswith(f"  next    mlkit explain {frozen} 1\n")


def test_a_rejected_deployment_is_exit_code_3(frozen, capsys) -> None:
    """A first model below the threshold is an error, and stays one when it is run again."""
    path = Path("models", f"{frozen}.yaml")
    path.write_text(path.read_text().replace("threshold: 10.0", "threshold: 0.001"))
    for _ in range(2):
        code, out, _ = run(capsys, "deploy", frozen, "--json")
        assert (code, json.loads(out)["outcome"]) == (3, "rejected")
    assert run(capsys, "champion", frozen)[1] == "nothing serves yet\n"


def test_broken_rows_are_exit_code_10(frozen, capsys, monkeypatch) -> None:
    """A table that no longer keeps the contract stops the deployment before anything is written.

    The plan says beforehand that it is blocked, by what, and by a code of its own if that is asked for.
    """
    config = Path("models", f"{frozen}.yaml")
    text = config.read_text()
    narrow = "    hour:\n      dtype: int64\n"
    assert narrow in text
    config.write_text(text.replace(narrow, f"{narrow}      checks:\n        less_than: 10\n"))
    code, _, err = run(capsys, "deploy", frozen)
    assert code == 10
    assert "hour" in err
    assert "less_than" in err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, err = run(capsys, "plan", frozen, "--exit-code")
    headline, *lines = out.splitlines()
    assert headline.startswith(f"{frozen} -> local    blocked: hour: ")
    assert headline.endswith(" rows break the contract in 1 way (DAT060)")
    assert lines[0].startswith("  hour: less_than fails in ")
    assert lines[1].startswith(f"  at models/{frozen}.yaml:")
    assert lines[-1] == "  page: mlkit help DAT060"
    assert (code, err.count("::error title=DAT060,file=models/")) == (9, 1)
    assert run(capsys, "plan", frozen, "-q")[0] == 10
    code, out, _ = run(capsys, "deploy", frozen, "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["kind"], told["error"]["code"]) == (10, "blocked", "DAT060")
    assert told["summary"].startswith("Plan: blocked; 0 tables and 0 versions to create, ")


def test_handoff_writes_a_wheel(frozen, capsys, tmp_path) -> None:
    """The wheel's path, version and entry point are in the result."""
    code, out, _ = run(capsys, "handoff", frozen, "--no-rehearse", "--to", str(tmp_path / "out"), "--json")
    made = json.loads(out)
    assert code == 0
    assert Path(made["wheel"]).exists()
    assert made["rehearsal"] is None
    assert made["parameters"][0] == "deploy"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_fingerprint_of_a_file(home, flights, tmp_path, capsys, suffix) -> None:
    """A file has the fingerprint of the rows in it."""
    path = tmp_path / f"flights.{suffix}"
    flights.to_csv(path, index=False) if suffix == "csv" else flights.to_parquet(path)
    code, out, _ = run(capsys, "fingerprint", str(path))
    assert (code, out.strip()) == (0, fingerprint(flights))


def test_help_explains_a_code(capsys) -> None:
    """Every code has a page, whatever the case it is typed in."""
    code, out, _ = run(capsys, "help", "cli001")
    assert code == 0
    assert out.startswith("CLI001")
    assert "DAT060" in run(capsys, "help")[1]


def test_python_dash_m_is_the_same_command() -> None:
    """The module runs without the console script."""
    done = subprocess.run(
        [sys.executable, "-m", "mlkit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mlkit 0.")


@pytest.mark.parametrize(
    ("name", "content"), [("ragged.csv", "a,b\n1,2\n1,2,secret-name\n"), ("broken.parquet", "PAR1")]
)
def test_a_damaged_file_is_no_bug_and_shows_no_value(home, tmp_path, capsys, name, content) -> None:
    """The error says what to check, never what the file holds."""
    (tmp_path / name).write_text(content)
    code, out, err = run(capsys, "fingerprint", str(tmp_path / name))
    assert (code, out) == (10, "")
    assert "DAT057" in err
    assert "secret-name" not in err


@pytest.mark.parametrize("content", ["5", "{bad", '{"cv": 1}'])
def test_a_damaged_provenance_is_a_config_error(frozen, capsys, content) -> None:
    """What stands beside a config is read strictly too."""
    Path("models", f"{frozen}.provenance.json").write_text(content)
    for verb in ("deploy", "handoff"):
        code, _, err = run(capsys, verb, frozen)
        assert code == 2
        assert "CFG004" in err


def test_a_wheel_is_not_rehearsed_with_other_versions(frozen, capsys) -> None:
    """The proof of a wheel is worth nothing in an environment that its pins would never make."""
    path = Path("models", f"{frozen}.yaml")
    pin = next(line for line in path.read_text().splitlines() if "scikit-learn==" in line)
    path.write_text(path.read_text().replace(pin, "    - scikit-learn==0.1"))
    code, _, err = run(capsys, "handoff", frozen)
    assert code == 2
    assert "CFG037" in err
    assert "scikit-learn 0.1 pinned" in err


@pytest.fixture
def steps(home) -> Path:
    """A store of steps with two results of one and one of another, of which one was hit twice."""
    one = make_step(lambda x: [x] * 1000, folder=home / "steps", name="features")
    other = make_step(lambda x: x + 1, folder=home / "steps", name="labels")
    for value in (1, 2, 1, 1):
        one(value)
    other(1)
    return home / "steps"


def test_the_cache_is_listed_and_cleared(steps, capsys) -> None:
    """Results, hits, size and time saved of each step; a wrong name removes nothing."""
    head, *lines, way = run(capsys, "cache")[1].splitlines()
    assert head.startswith("3 results of 2 steps, 0.00 of 5 GB; ")
    assert [(line.split()[0], line.split()[1], line.split()[3]) for line in lines] == [
        ("labels", "1", "0"),
        ("features", "2", "2"),
    ]
    assert way == "  next    mlkit cache --clear NAME, or project.steps().clear(NAME)"
    entries = json.loads(run(capsys, "cache", "--json")[1])["entries"]
    assert sorted(entry["hits"] for entry in entries) == [0, 0, 2]
    code, _, err = run(capsys, "cache", "--clear", "feature")
    assert (code, "did you mean 'features'?" in err) == (2, True)
    assert run(capsys, "cache", "--clear", "features")[1].startswith("2 stored results removed, ")
    assert json.loads(run(capsys, "cache", "--json")[1])["entries"][0]["step"] == "labels"


def test_all_of_the_cache_goes_only_if_somebody_says_so(steps, capsys, monkeypatch) -> None:
    """Where nobody can be asked it is refused, with the words that are missing; on a terminal it is asked."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run(capsys, "cache", "--clear")
    assert (code, out) == (2, "")
    assert "error[CLI133] yes: 3 stored results to remove, which took " in err
    assert "fix: say --yes" in err
    answers = io.StringIO("no\nyes\n")
    answers.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", answers)
    assert run(capsys, "cache", "--clear")[1] == "nothing was removed\n"
    assert run(capsys, "cache", "--clear")[1].startswith("3 stored results removed")
    assert run(capsys, "cache", "--clear", "--yes", "--json")[0] == 0
    assert run(capsys, "cache")[1] == "no steps are stored\n  next    @project.step above a function\n"
