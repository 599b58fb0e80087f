"""Fixtures of the serving tests: a workspace on loopback, and clients of it whose time is virtual."""

from __future__ import annotations

import pytest


@pytest.fixture
def databricks(monkeypatch):
    """A workspace; the environment of the test leads to it, and to no other."""
    from tests.standins.workspace import TOKEN, Workspace  # noqa: PLC0415 - not every environment has the SDK

    for name in ("DATABRICKS_CONFIG_PROFILE", "DATABRICKS_AUTH_TYPE", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)
    with Workspace() as workspace:
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        yield workspace


@pytest.fixture
def clock():
    """Time that passes when somebody sleeps."""
    from tests.standins.workspace import VirtualClock  # noqa: PLC0415 - as above

    return VirtualClock()


@pytest.fixture
def client(databricks, clock):
    """A client of the workspace with the bounds of mlkit's own."""
    from databricks.sdk import WorkspaceClient  # noqa: PLC0415 - as above
    from databricks.sdk.config import Config  # noqa: PLC0415 - as above

    config = Config(clock=clock, retry_timeout_seconds=60, http_timeout_seconds=30)
    return WorkspaceClient(config=config)
