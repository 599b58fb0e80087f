"""The packaged runner: a list of `--name=value`, a return or an exception, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlkit import Gate
from mlkit.errors import ConfigError, GateRejectedError, UsageError
from mlkit.frozen import provenance_path
from mlkit.production.plan import Plan
from mlkit.production.report import RunReport
from mlkit.production.task import main, read_origin
from tests.production.scenes import NAME, STUMP, frozen


@pytest.fixture
def configs(stores, tmp_path):
    """The folder of configs in a package."""
    frozen().write(tmp_path / "configs" / f"{NAME}.yaml")
    return tmp_path / "configs"


def test_deploy_plan_and_rollback(configs, stores):
    """Each verb returns what it made; the only config need not be named."""
    assert isinstance(main(["plan"], configs=configs), Plan)
    first = main(["deploy", f"--config={NAME}", "--target=local", "--reason=by the job"], configs=configs)
    assert isinstance(first, RunReport)
    assert (first.outcome, stores.ledger.head().reason) == ("promoted", "by the job")
    again = main(["rollback", "--to=1", "--reason=by the job"], configs=configs)
    assert again.outcome == "unchanged"


@pytest.mark.parametrize("to", ["--to=1", "--to=", "--to=previous"])
def test_a_job_may_leave_the_version_open(configs, stores, to):
    """An empty parameter is none."""
    frozen(model=STUMP).write(configs / f"{NAME}.yaml")
    main(["deploy"], configs=configs)
    frozen().write(configs / f"{NAME}.yaml")
    main(["deploy"], configs=configs)
    assert main(["rollback", to, "--reason=test"], configs=configs).version == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], "CLI001", "deploy, plan, rollback"),
        (["destroy"], "CLI001", "deploy, plan, rollback"),
        (["deploy", "--force=1"], "CLI001", "--config=, --target=, --reason="),
        (["deploy", "--config"], "CLI001", "--name=value"),
        (["deploy", "config=a"], "CLI001", "--name=value"),
        (["plan", "--reason=x"], "CLI001", "--config=, --target="),
        (["deploy", "--reason=a", "--reason=b"], "CLI001", "twice"),
        (["deploy", "--config=other"], "CLI002", NAME),
        (["deploy", "--reason={{job.parameters.reason}}"], "CLI026", "correct its name"),
        (["rollback", "--to={{x}}", "--reason=a"], "CLI026", "correct its name"),
        (["rollback", "--to=one", "--reason=a"], "CLI004", "whole number"),
        (["rollback", "--to=-1", "--reason=a"], "CLI004", "whole number"),
        (["rollback", "--reason="], "CLI025", "reason"),
        (["deploy", "--rehearse=out.json", "--cv=five"], "CLI004", "whole number"),
        (["deploy --config=flight_delay"], "CLI011", "list"),
        ("deploy --config=flight_delay", "CLI011", "list"),
    ],
)
def test_arguments_that_make_no_sense(configs, arguments, code, said):
    """A UsageError with what is known; nothing was done."""
    with pytest.raises(UsageError) as caught:
        main(arguments, configs=configs)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_an_unknown_target_names_the_known(configs):
    """As the command line does."""
    with pytest.raises(ConfigError, match="local"):
        main(["deploy", "--target=prod"], configs=configs)


def test_two_configs_need_a_name(configs):
    """Neither is guessed."""
    frozen().write(configs / "other.yaml")
    with pytest.raises(UsageError) as caught:
        main(["deploy"], configs=configs)
    assert caught.value.code == "CLI002"


def test_a_rejection_is_an_exception_for_a_job(configs):
    """The page of the job shows the last line: why."""
    frozen(gate=Gate(threshold=0.1)).write(configs / f"{NAME}.yaml")
    for _ in range(2):
        with pytest.raises(GateRejectedError, match=r"is not <= threshold 0\.1"):
            main(["deploy"], configs=configs)


def test_a_kept_champion_is_no_exception(configs):
    """A retrain that is not better is a normal end."""
    main(["deploy"], configs=configs)
    frozen(model=STUMP).write(configs / f"{NAME}.yaml")
    assert main(["deploy"], configs=configs).outcome == "kept_champion"


def test_by_default_the_arguments_are_those_of_the_process(configs, monkeypatch):
    """As an entry point is called."""
    monkeypatch.setattr(sys, "argv", ["flight_delay_model", "plan"])
    assert main(configs=configs).kind == "primary"


def test_the_origin_beside_a_config_goes_with_the_version(configs, stores):
    """Commit and study are kept; what is not known to be harmless is not."""
    kept = {"commit": "abc", "study_run_id": "s1", "dirty": ["a.py"], "config_digest": frozen().digest}
    provenance_path(configs / f"{NAME}.yaml").write_text(json.dumps({**kept, "params": {"alpha": 1}}))
    main(["deploy"], configs=configs)
    assert stores.ledger.head().evidence["origin"] == kept
    assert stores.registry.champion().tags["mlkit_commit"] == "abc"


def test_an_edited_config_did_not_come_from_the_study(configs, stores):
    """Only what it was edited from is said, and how often the test rows had been looked at."""
    origin = {"commit": "abc", "study_run_id": "s1", "config_digest": "f" * 64, "test_looks": 2}
    provenance_path(configs / f"{NAME}.yaml").write_text(json.dumps(origin))
    report = main(["deploy"], configs=configs)
    assert stores.ledger.head().evidence["origin"] == {"edited_from": "f" * 64, "test_looks": 2}
    assert "looked at 2 times" in report.notes[-1]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_an_origin_that_does_not_read_is_a_mistake_of_the_config(configs, text):
    """And one that is not there is none."""
    config = frozen().write(configs / f"{NAME}.yaml")
    assert read_origin(config) == {}
    provenance_path(config.path).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_origin(config)
    assert caught.value.code == "CFG004"


def test_a_process_ends_with_the_error_and_no_exit_code_of_ours(configs, tmp_path):
    """An exception reaches Python itself: status 1, and the sentence at the end of the trace."""
    program = (
        "from pathlib import Path; from mlkit.production.task import main\n"
        f"main(['destroy'], configs=Path({str(configs)!r}))"
    )
    command = [sys.executable, "-c", program]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 1
    assert "UsageError: [CLI001] verb: expected one of deploy, plan, rollback" in done.stderr
