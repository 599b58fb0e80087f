"""The client of a workspace: credentials by databricks-sdk's own rules, quiet, and patient within bounds."""

from __future__ import annotations

import logging
import time

import pytest

pytest.importorskip("databricks.sdk")

from mlkit.errors import UsageError
from mlkit.production.serving.client import CALL_SECONDS, in_short, open_client
from tests.standins.workspace import TOKEN

pytestmark = pytest.mark.newest_only


@pytest.fixture(autouse=True)
def logger():
    """The logger of the SDK as it was."""
    logger = logging.getLogger("databricks.sdk")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(level)


def test_the_environment_leads_to_the_workspace(databricks, caplog):
    """Nothing is logged on the way, though the SDK would like to."""
    databricks.serve("flights", "1")
    assert open_client().serving_endpoints.get("flights").name == "flights"
    assert caplog.records == []


def test_who_wants_to_hear_the_sdk_does(databricks, logger):
    """A level that somebody chose stays."""
    logger.setLevel(logging.DEBUG)
    open_client()
    assert logger.level == logging.DEBUG


def test_a_profile_leads_to_the_workspace(databricks, tmp_path, monkeypatch):
    """As the target names it."""
    file = tmp_path / "profiles"
    file.write_text(f"[prod]\nhost = {databricks.url}\ntoken = {TOKEN}\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(file))
    monkeypatch.delenv("DATABRICKS_HOST")
    monkeypatch.delenv("DATABRICKS_TOKEN")
    databricks.serve("flights", "1")
    assert open_client("prod").serving_endpoints.get("flights").name == "flights"


@pytest.mark.parametrize("profile", ["prod", None])
def test_no_credentials(monkeypatch, databricks, tmp_path, profile):
    """The error names the profile and says how to log in."""
    (tmp_path / "profiles").write_text("")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "profiles"))
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("PATH", str(tmp_path))  # no command line of Databricks either
    with pytest.raises(UsageError) as caught:
        open_client(profile)
    assert (caught.value.code, caught.value.path) == ("CLI013", profile or "DATABRICKS_HOST")
    assert "databricks auth login" in caught.value.fix


def test_no_call_waits_longer_than_the_bound(databricks, monkeypatch):
    """A server that asks for an hour gets a minute."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    open_client().config.clock.sleep(3600)
    assert slept == [CALL_SECONDS]


def test_the_clock_of_the_waits_cannot_be_set_back(databricks):
    """It is the monotonic one."""
    before = time.monotonic()
    assert before <= open_client().config.clock.time() <= time.monotonic()


def test_long_words_are_cut():
    """One line of bounded length."""
    assert in_short("a\n  b") == "a b"
    assert len(in_short("x" * 1000)) < 310
