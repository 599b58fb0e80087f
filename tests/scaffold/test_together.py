"""All models of a repository: planned together, and what changed is deployed, whatever fails beside it."""

from __future__ import annotations

import json

import pytest

from mlkit.cli import main
from mlkit.production.plan import Plan
from mlkit.scaffold.markdown import MARKER, MOST_CHARACTERS, plans_markdown, span
from mlkit.scaffold.together import Plans


def run(capsys, *words: str) -> tuple[int, str]:
    """Exit code and standard output."""
    code = main(list(words))
    return code, capsys.readouterr().out


def edit(repository, before: str, after: str, name: str = "diabetes") -> None:
    """Change a config."""
    path = repository / "models" / f"{name}.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.fixture
def two(repository):
    """A second model of the same code."""
    text = (repository / "models" / "diabetes.yaml").read_text()
    (repository / "models" / "sugar.yaml").write_text(text.replace("name: diabetes", "name: sugar"))
    return repository


def test_the_life_of_two_models(two, capsys):
    """New models, then nothing, then code or rules alone, then one of the two."""
    code, out = run(capsys, "plan", "--exit-code")
    assert code == 5
    assert out.endswith("Plan: 2 models on local; 2 new models.\n")

    code, out = run(capsys, "deploy", "--changed", "--reason", "first", "--json")
    done = json.loads(out)["deployments"]
    assert (code, [item["outcome"] for item in done]) == (0, ["promoted", "promoted"])
    assert [item["model"] for item in done] == ["diabetes", "sugar"]

    code, out = run(capsys, "plan", "--exit-code")
    assert (code, out.count("nothing to do")) == (0, 2)
    code, out = run(capsys, "deploy", "--changed")
    assert (code, out.splitlines()[0][:45]) == (0, "local: 0 of 2 models had something to do, in "[:45])

    edit(two, "threshold: 65.0", "threshold: 64.0", "sugar")
    code, out = run(capsys, "plan", "--format", "md", "--exit-code")
    assert code == 6
    assert "`sugar` **code or rules only**: the model stays" in out
    assert "`gate.threshold: 65 -> 64`" in out
    assert "Nothing to do: `diabetes`" in out
    code, out = run(capsys, "deploy", "--changed")
    assert code == 0
    assert "code only      sugar     v1  the model stays" in out
    assert run(capsys, "history", "sugar", "--json")[1].count('"kind": "code"') == 1

    edit(two, "alpha: ", "alpha: 2")
    code, out = run(capsys, "deploy", "--changed", "--dry-run")
    assert "1 new model, 1 nothing to do" in out


def test_what_fails_does_not_keep_the_others_from_it(two, capsys):
    """The worst exit code counts, and what failed stands last."""
    (two / "models" / "angry.yaml").write_text("format: 1\n")
    edit(two, "threshold: 65.0", "threshold: 1.0")
    code, out = run(capsys, "plan", "--quiet")
    assert (code, out) == (2, "Plan: 3 models on local; 2 new models, 1 blocked.\n")
    code, out = run(capsys, "plan", "--exit-code")
    assert (code, out.split("\n\n")[-2].partition(": ")[0]) == (9, "angry -> local    blocked")
    assert "`angry` is **blocked**" in run(capsys, "plan", "angry", "--format", "md")[1]
    code, out = run(capsys, "deploy", "--changed", "--format", "md")
    assert code == 3  # of the gate, which is worse than a wrong config
    assert "| promoted | `sugar` |" in out
    assert "| rejected | `diabetes` |" in out
    assert "| failed | `angry` | `error[CFG" in out


def test_no_model_is_no_fault(tmp_path, home, capsys):
    """An empty state says how to leave it."""
    for words in (("plan",), ("deploy", "--changed")):
        code, out = run(capsys, *words)
        assert code == 0
        assert "no model yet" in out
    assert "no model yet" in run(capsys, "plan", "--format", "md")[1]


@pytest.mark.parametrize(
    "words",
    [
        ("deploy",),
        ("deploy", "diabetes", "--changed"),
        ("deploy", "diabetes", "--format", "md"),
        ("deploy", "--changed", "--plan", "12345678"),
        ("plan", "--out", "plan.json"),
    ],
)
def test_one_model_or_all_of_them(home, capsys, words):
    """What belongs to one is refused of all, and the other way round."""
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "CLI126"


def test_a_comment_of_one_model(repository, capsys):
    """Its first line is what a workflow finds it by; a primary plan tells its rows."""
    code, out = run(capsys, "plan", "diabetes", "--format", "md")
    assert code == 0
    assert out.splitlines()[:2] == [MARKER, "### Plan for `local`: 1 new model"]
    assert "442" not in out
    assert "to train on" in out
    assert "nothing serves now" in out
    assert "mlkit deploy --changed --target local" in out


def made(number: int, reasons: tuple[str, ...]) -> Plan:
    """A plan with these reasons."""
    return Plan("primary", reasons, f"model_{number}", "k", 3, 10, 2)


def test_nothing_of_a_config_becomes_more_than_text():
    """No mention, no link, no HTML, no row of a table, however a value is written."""
    nasty = "x: `@octocat` <img src=x> | [a](b)\n# big -> 2"
    text = plans_markdown(Plans("prod", (made(1, (nasty,)),)))
    assert "- `x: '@octocat' <img src=x> | [a](b) # big -> 2`\n" in text
    assert span("a`b\nc") == "`a'b c`"


def test_a_comment_is_never_too_long_for_github():
    """What does not fit is counted, of reasons and of models."""
    many = tuple(
        made(number, tuple(f"field_{place}: {'x' * 90}" for place in range(40))) for number in range(60)
    )
    text = plans_markdown(Plans("prod", many))
    assert len(text) <= MOST_CHARACTERS
    assert "- and 20 more: `mlkit plan model_0`" in text
    assert "more, which a comment does not hold" in text
    assert "60 new models" in text
