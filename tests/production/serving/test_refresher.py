"""The serving endpoint follows the champion, whatever the workspace answers, and is never sent back."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

pytest.importorskip("databricks.sdk")

from mlkit.errors import EXIT_SERVING, ServingError, UsageError
from mlkit.production.ledger import Entry
from mlkit.production.serving.refresher import DatabricksRefresher
from mlkit.targets import ServingTarget
from tests.standins.workspace import Build

pytestmark = pytest.mark.newest_only

MODEL = "main.training.flight_delay"
OTHER = "somebody.elses.model"


def entry(version, seq=None):
    """A ledger entry that makes a version the champion."""
    texts = ("reason", "model_id", "run_id", "manifest_digest", "run_key", "model_key")
    at = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    return Entry(
        seq=seq or version, at=at, kind="promotion", actor="me", from_version=None, to_version=version,
        **dict.fromkeys(texts, "x"),
    )  # fmt: skip


@pytest.fixture
def refresher(client):
    """A function that makes a refresher of the endpoint `flights`."""

    def make(newest=lambda: None, **serving):
        target = ServingTarget(endpoint="flights", **serving)
        return DatabricksRefresher(
            lambda: client, endpoint="flights", model=MODEL, serving=target, newest=newest
        )

    return make


@pytest.fixture
def serving(databricks):
    """The endpoint, which serves v1."""
    return databricks.serve("flights", "1", model=MODEL)


def test_an_endpoint_that_is_not_there_is_created(databricks, refresher, clock):
    """By version number, with all traffic, and as the target says; then it is waited for."""
    databricks.builds.append(Build(looks=5))
    answer = refresher(workload_size="Large", scale_to_zero=False).refresh("flight_delay", entry(3))
    assert (answer.version, answer.message) == (3, "endpoint flights answers with v3")
    (sent,) = databricks.sent("POST")
    (entity,) = sent["config"]["served_entities"]
    assert entity == {
        "name": "flight_delay-3",
        "entity_name": MODEL,
        "entity_version": "3",
        "workload_size": "Large",
        "scale_to_zero_enabled": False,
    }
    assert sent["config"]["traffic_config"]["routes"] == [
        {"served_model_name": "flight_delay-3", "traffic_percentage": 100}
    ]
    assert "ai_gateway" not in sent
    assert databricks.endpoints["flights"].serves == ["3"]
    assert len(databricks.sent("GET")) == 7
    assert clock.slept == sorted(clock.slept)
    assert 1.0 <= clock.slept[0] < clock.slept[-1] <= 10.0


def test_an_endpoint_that_serves_the_champion_is_sent_nothing(databricks, serving, refresher, clock):
    """One look, no wait."""
    assert refresher().refresh("flight_delay", entry(1)).version == 1
    assert [method for method, _, _ in databricks.requests] == ["GET"]
    assert clock.slept == []


def test_a_new_champion_replaces_the_old_one(databricks, serving, refresher):
    """One update; what a hand has set beside it stays."""
    fields = {"environment_vars": {"MODE": "fast"}, "workload_type": "GPU_SMALL"}
    serving = databricks.serve("flights", "1", model=MODEL.upper(), **fields)
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    (sent,) = databricks.sent("PUT")
    assert fields.items() <= sent["served_entities"][0].items()
    assert serving.serves == ["2"]


def test_an_endpoint_that_splits_its_traffic_gets_one_version(databricks, refresher):
    """All traffic goes to the champion, also where it had a part of it; nothing of another model is kept."""
    serving = databricks.serve("flights", "1", "2", model=OTHER, environment_vars={"MODE": "fast"})
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert serving.serves == ["2"]
    assert "environment_vars" not in databricks.sent("PUT")[0]["served_entities"][0]


def test_a_rollback_is_a_refresh_to_an_earlier_version(databricks, serving, refresher):
    """The ledger's order decides, not the number."""
    databricks.serve("flights", "2", model=MODEL)
    assert refresher().refresh("flight_delay", entry(1, seq=3)).version == 1


def test_an_update_of_somebody_else_is_waited_for(databricks, serving, refresher):
    """Then the champion is sent, and serves."""
    other = {
        **serving.config,
        "served_entities": [{**serving.config["served_entities"][0], "entity_version": "9"}],
    }
    serving.begin(other, Build(looks=3))
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert [method for method, _, _ in databricks.requests].index("PUT") == 4
    assert serving.serves == ["2"]


def test_an_update_that_comes_between_look_and_request_is_a_conflict_and_waited_for(
    databricks, serving, refresher
):
    """The request is refused by the platform; the next look shows why."""
    config = dict(serving.config)
    databricks.before["PUT", 1] = lambda: serving.begin(config, Build(looks=2))
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert len(databricks.sent("PUT")) == 2


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_request_whose_answer_was_lost(databricks, refresher, method, taken):
    """Whether it was taken or not, the endpoint ends at the champion, updated once."""
    if method == "PUT":
        databricks.serve("flights", "1", model=MODEL)
    databricks.lose(method, taken=taken)
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    endpoint = databricks.endpoints["flights"]
    assert (endpoint.serves, endpoint.config["config_version"]) == (["2"], 2 if method == "PUT" else 1)


def test_a_request_that_nobody_ever_answered_is_looked_after(databricks, serving, refresher, clock):
    """Every repeat of the SDK loses its answer too; a look shows that the first one counted."""
    databricks.builds.append(Build(looks=3))
    databricks.lose("PUT", taken=True)
    databricks.lose("PUT", taken=False, times=60)
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert serving.config["config_version"] == 2
    assert max(clock.slept) <= 11


def test_a_workspace_that_asks_for_patience_gets_it(databricks, serving, refresher, clock):
    """429 with Retry-After: that long, then the same request again."""
    databricks.refuse("PUT", 429, "REQUEST_LIMIT_EXCEEDED", Retry_After="17")
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert any(17 <= seconds < 18 for seconds in clock.slept)


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "INTERNAL_ERROR"), (503, "TEMPORARILY_UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_workspace_that_stumbles_is_asked_again(databricks, serving, refresher, method, status, code):
    """An error of the server says nothing about what it did."""
    databricks.refuse(method, status, code, times=3)
    assert refresher().refresh("flight_delay", entry(2)).version == 2


def test_an_update_that_fails_leaves_the_old_version_and_says_why(databricks, serving, refresher):
    """The endpoint's own words; the next refresh tries again and converges."""
    databricks.builds.append(Build(looks=2, failure="Container image\n creation failed: no wheel of skops"))
    with pytest.raises(ServingError) as caught:
        refresher().refresh("flight_delay", entry(2))
    error = caught.value
    assert (error.code, error.path, error.exit_code) == ("NET002", "flights", EXIT_SERVING)
    assert "UPDATE_FAILED and ready, serves v1: Container image creation failed: no wheel" in error.message
    assert len(databricks.sent("PUT")) == 1
    assert serving.serves == ["1"]
    assert refresher().refresh("flight_delay", entry(2)).version == 2


def test_a_creation_that_fails_is_tried_again_by_the_next_refresh(databricks, refresher):
    """The endpoint is there then, and serves nothing."""
    databricks.builds.append(Build(failure="out of quota"))
    with pytest.raises(ServingError, match="serves nothing: out of quota"):
        refresher().refresh("flight_delay", entry(1))
    assert refresher().refresh("flight_delay", entry(1)).version == 1


def test_an_update_that_a_hand_cancelled_is_not_sent_again(databricks, serving, refresher):
    """Whoever cancels knows why."""
    databricks.builds.append(Build(failure="by a hand", state="UPDATE_CANCELED"))
    with pytest.raises(ServingError, match="UPDATE_CANCELED"):
        refresher().refresh("flight_delay", entry(2))


def test_the_failure_of_an_earlier_update_is_not_taken_for_our_own(databricks, serving, refresher):
    """Not even when the answer to our request was lost before it was taken."""
    config = {
        **serving.config,
        "served_entities": [{**serving.config["served_entities"][0], "entity_version": "2"}],
    }
    serving.begin(config, Build(looks=0, failure="of yesterday"))
    serving.look()
    databricks.refuse("PUT", 500, "INTERNAL_ERROR")
    assert refresher().refresh("flight_delay", entry(2)).version == 2


def test_the_failure_of_somebody_elses_update_is_not_taken_for_our_own(databricks, serving, refresher):
    """Theirs came just before our request, which was refused; it is sent again."""
    theirs = {**serving.config["served_entities"][0], "entity_version": "9"}
    config = {**serving.config, "served_entities": [theirs]}
    databricks.before["PUT", 1] = lambda: serving.begin(config, Build(looks=0, failure="of theirs"))
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert len(databricks.sent("PUT")) == 2


def test_a_failed_update_to_another_version_does_not_matter(databricks, serving, refresher):
    """The champion serves, which is all that is asked."""
    serving.begin(dict(serving.config), Build(looks=0, failure="of somebody else"))
    assert refresher().refresh("flight_delay", entry(1)).version == 1
    assert databricks.sent("PUT") == []


def test_a_champion_that_was_replaced_is_not_brought_back(databricks, refresher):
    """A slow runner sees that the ledger has moved on before it sends anything."""
    databricks.serve("flights", "3", model=MODEL)
    assert refresher(newest=lambda: entry(3)).refresh("flight_delay", entry(2)).version == 3
    assert databricks.sent("PUT") == []


def test_a_champion_that_is_replaced_while_its_update_runs_gives_way(databricks, serving, refresher):
    """The update ends, then the newer one is sent."""
    heads = iter([entry(2), entry(3)])
    assert refresher(newest=lambda: next(heads, entry(3))).refresh("flight_delay", entry(2)).version == 3
    assert [sent["served_entities"][0]["entity_version"] for sent in databricks.sent("PUT")] == ["2", "3"]


def test_an_older_head_does_not_take_the_place_of_the_champion(databricks, serving, refresher):
    """A reader of the ledger may lag behind."""
    assert refresher(newest=lambda: entry(1)).refresh("flight_delay", entry(2)).version == 2


@pytest.mark.parametrize(
    ("method", "status", "server_code", "code", "fix"),
    [
        ("GET", 403, "PERMISSION_DENIED", "NET003", "CAN_MANAGE"),
        ("PUT", 403, "PERMISSION_DENIED", "NET003", "CAN_MANAGE"),
        ("PUT", 404, "RESOURCE_DOES_NOT_EXIST", "NET004", MODEL),
        ("PUT", 400, "INVALID_PARAMETER_VALUE", "NET005", "targets"),
        ("PUT", 501, "NOT_IMPLEMENTED", "NET005", "targets"),
        ("GET", 401, "UNAUTHENTICATED", "NET006", "login"),
    ],
)
def test_a_refusal_is_final(databricks, serving, refresher, method, status, server_code, code, fix):
    """No repeat helps; the error says what the platform said, and what to do, but no setting or secret."""
    databricks.refuse(method, status, server_code, "words of the platform", times=9)
    with pytest.raises(ServingError, match="words of the platform") as caught:
        refresher().refresh("flight_delay", entry(2))
    error = caught.value
    assert (error.code, error.path) == (code, "flights")
    assert fix in error.fix
    assert "Config" not in error.message
    assert serving.serves == ["1"]
    assert sum(verb == method for verb, _, _ in databricks.requests) == 1


def test_a_version_that_the_workspace_does_not_know(databricks, refresher):
    """As when the target names another catalog than the registry's."""
    databricks.missing.add("2")
    with pytest.raises(ServingError, match=f"Model version 2 of {MODEL} does not exist"):
        refresher().refresh("flight_delay", entry(2))


def test_an_endpoint_that_takes_too_long(databricks, serving, refresher, clock):
    """The time of the target, no longer; deployed again, it goes on waiting and sends nothing new."""
    databricks.builds.append(Build(looks=40))
    with pytest.raises(ServingError) as caught:
        refresher(timeout_seconds=60).refresh("flight_delay", entry(2))
    assert caught.value.code == "NET001"
    assert "expected v2 to answer, found after 60 s: IN_PROGRESS and ready, serves v1" in caught.value.message
    assert clock.now == 1060
    assert refresher().refresh("flight_delay", entry(2)).version == 2
    assert len(databricks.sent("PUT")) == 1


def test_an_endpoint_that_holds_the_champion_but_does_not_answer(databricks, serving, refresher):
    """It is waited for, not sent the same again."""
    serving.ready = False
    with pytest.raises(ServingError, match="NOT_UPDATING and not ready, serves v1"):
        refresher(timeout_seconds=30).refresh("flight_delay", entry(1))
    assert databricks.sent("PUT") == []


def test_a_workspace_that_is_away(databricks, serving, refresher, clock):
    """The error says so, after the time of the target and the last call's own."""
    databricks.lose("GET", taken=False, times=999)
    with pytest.raises(ServingError, match=r"did not answer for \d+ s: ConnectionError") as caught:
        refresher(timeout_seconds=100).refresh("flight_delay", entry(2))
    assert caught.value.code == "NET007"
    assert clock.now <= 1000 + 100 + 60 + 20


def test_without_credentials_the_champion_stands(refresher):
    """The exit code is that of serving: what was deployed is deployed."""

    def nobody():
        raise UsageError("CLI013", "no credentials", path="prod", fix="databricks auth login")

    with pytest.raises(ServingError) as caught:
        dataclasses.replace(refresher(), client=nobody).refresh("flight_delay", entry(2))
    assert (caught.value.code, caught.value.fix) == ("NET006", "databricks auth login")
