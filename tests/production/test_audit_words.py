"""Looking back: times, terms, marks, certificates and explanations, as values and in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.errors import UsageError
from mlkit.production.audit import champion_at, instant, term_at
from mlkit.production.certificate import Certificate, keep_certificate, read_certificates
from mlkit.production.decisions import Decision
from mlkit.production.evidence import Explanation, Files, History
from mlkit.production.ledger import Entry
from mlkit.production.marks import Mark, MarkList
from mlkit.production.registry import ModelVersion
from mlkit.production.reproduce import compare_predictions
from mlkit.production.stores import Stores

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
TABLES = {part: {"table": f"training.p__{part}", "rows": 1200} for part in ("train", "test", "predictions")}


def entry(seq, version, at, **changes) -> Entry:
    """An entry of a ledger."""
    values = {
        "seq": seq,
        "at": at,
        "kind": "promotion",
        "actor": "ann",
        "reason": "better",
        "from_version": None,
        "to_version": version,
        "model_id": f"m-{version}",
        "run_id": f"r-{version}",
        "manifest_digest": "d",
        "run_key": f"run-{version}",
        "model_key": f"key-{version}",
        "evidence": TABLES,
        **changes,
    }
    return Entry(**values)


def told(entries, registered=None):
    """What the stores say: a ledger, and a registry of which versions may be lost."""
    registry = SimpleNamespace(full_name="p", version=(registered or {}).get)
    return SimpleNamespace(ledger=SimpleNamespace(entries=lambda: entries), registry=registry)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-06-01T12:00:00+02:00", "2026-06-01T10:00:00+00:00"),
        ("  2026-06-01T10:00Z\n", "2026-06-01T10:00:00+00:00"),
        ("20260601T100000-0030", "2026-06-01T10:30:00+00:00"),
        ("2026-06-01 10:00:00.25+00:00", "2026-06-01T10:00:00.250000+00:00"),
        (dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25T00:30:00+00:00"),
        (
            dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            "2026-10-25T01:30:00+00:00",
        ),
        (pd.Timestamp("2026-06-01 12:00", tz="Asia/Kolkata"), "2026-06-01T06:30:00+00:00"),
    ],
)
def test_a_time_with_its_zone_is_taken_in_utc(time, expected):
    """Whatever its zone; the hour that comes twice is told apart."""
    assert instant(time).isoformat() == expected


@pytest.mark.parametrize(
    "time",
    [
        *("", "now", "2026-06-01", "2026-06-01T12:00:00", "2026-13-01T00:00Z", "12:00Z"),
        *("0001-01-01T00:00+02:00", "9999-12-31T23:59-02:00"),  # in UTC there is no such year
        *(dt.datetime(2026, 6, 1), dt.date(2026, 6, 1), 1780000000, None),  # noqa: DTZ001
    ],
)
def test_what_is_no_time_with_a_zone_is_refused(time):
    """With an example of one."""
    with pytest.raises(UsageError) as caught:
        instant(time)
    assert (caught.value.code, caught.value.path) == ("CLI072", "time")
    assert "+02:00" in caught.value.fix


MOVES = st.lists(st.tuples(st.integers(-3, 6), st.integers(1, 3)), min_size=1, max_size=8)


@given(MOVES, st.integers(-2, 40))
def test_terms_are_what_a_simple_reader_finds(moves, asked):
    """Clocks may go back: an entry then counts from the time of the one that it replaced."""
    clock, entries = 0, []
    for seq, (hours, version) in enumerate(moves, start=1):
        clock += hours
        entries.append(entry(seq, version, DAY + clock * HOUR))
    began, latest = [], entries[0].at
    for each in entries:
        latest = max(latest, each.at)
        began.append(latest)
    time = DAY + asked * HOUR
    current = [each for each, since in zip(entries, began, strict=True) if since <= time]
    term = term_at(told(entries), time)
    if not current:
        assert term is None
        return
    assert term.version.version == current[-1].to_version
    assert term.since <= time
    assert term.until is None or time < term.until
    assert {each.to_version for each in term.entries} == {current[-1].to_version}
    assert current[-1] in term.entries
    after = entries[term.entries[-1].seq :]
    assert (term.until is None) is (not after)
    assert not after or after[0].to_version != current[-1].to_version


def test_what_is_still_to_come_is_refused():
    """By the clock here, or by that of the newest entry where it is ahead."""
    later = dt.datetime.now(dt.UTC) + 48 * HOUR
    ahead = told([entry(1, 1, later)])
    assert champion_at(ahead, later).version == 1
    for stores, time in ((ahead, later + HOUR), (told([]), later)):
        with pytest.raises(UsageError, match="still to come"):
            champion_at(stores, time)


def test_the_word_of_the_ledger_counts_where_the_registry_says_otherwise():
    """A number that was given again to another model is not what served."""
    other = ModelVersion("p", 1, "m-of-another", "r", {})
    same = ModelVersion("p", 1, "m-1", "r", {"note": "kept"})
    entries = [entry(1, 1, DAY)]
    found = champion_at(told(entries, {1: other}), DAY)
    assert (found.model_id, found.tags["mlkit_test_table"]) == ("m-1", "training.p__test")
    assert champion_at(told(entries, {1: same}), DAY) is same


def test_a_term_is_told_in_plain_values():
    """Times of it in UTC, entries as the ledger has them."""
    entries = [entry(1, 1, DAY), entry(2, 1, DAY + HOUR, kind="code", reason="new code")]
    term = term_at(told([*entries, entry(3, 2, DAY + 2 * HOUR)]), DAY + HOUR)
    values = json.loads(json.dumps(term.to_dict()))
    assert (values["since"], values["until"]) == ("2026-03-01T00:00:00+00:00", "2026-03-01T02:00:00+00:00")
    assert [each["reason"] for each in values["entries"]] == ["better", "new code"]
    assert values["version"]["version"] == 1
    assert repr(term).count("ledger") == 2


def mark(version=2, **changes) -> Mark:
    """A mark."""
    values = {"model_id": f"m-{version}", "model_key": f"key-{version}", "bad": True, "reason": "drifts"}
    return Mark(**{"project": "p", "version": version, **values, "actor": "ann", "at": DAY, **changes})


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({}, "mlkit mark p 2 --unmark", "it serves now"),
        ({"serves": True}, "next    mlkit rollback p --reason", "is no longer"),
        ({"bad": False}, "next    mlkit rollback p --to 2", "--unmark"),
    ],
)
def test_a_mark_says_what_to_do_next(changes, said, unsaid):
    """Take it back, leave the version, or let it serve again."""
    text = repr(mark(**changes))
    assert said in text
    assert unsaid not in text
    assert "by ann on 2026-03-01: drifts" in text


def test_marks_are_found_by_what_decides_a_model():
    """Of a ledger entry as of a build; a model without a key has no mark."""
    marks = MarkList("p", (mark(1, model_key=""), mark(2), mark(3)))
    assert marks.of(entry(9, 3, DAY)).version == 3
    assert marks.of_key("key-2").version == 2
    assert (marks.of_key(""), marks.of_key("key-9")) == (None, None)
    assert (len(marks), [each.version for each in marks]) == (3, [1, 2, 3])
    assert json.loads(json.dumps(marks.to_dict()))["marks"][1]["at"] == "2026-03-01T00:00:00+00:00"
    assert repr(marks).startswith("p: 3 marked bad\n  v1 is marked bad by ann")
    assert "no version is marked bad\n  next    mlkit mark p" in repr(MarkList("p", ()))


def record(outcome="identical", **changes):
    """What came out of a reproduction."""
    return {
        "version": 4,
        "outcome": outcome,
        "tolerance": 1e-6,
        "differences": {"rows": 3, "largest": 2.5e-7, "columns": {"prediction": {}}},
        "predictions": {"rows": 1500},
        "train": {"rows": 4500},
        "test": {"rows": 1500},
        "model_file": {"equal": True},
        "environment": {"recorded": {"python": "3.11", "numpy": "2.1"}, "here": {"python": "3.11"}},
        **changes,
    }


def certificate(**changes) -> Certificate:
    """A certificate in the recorded environment, unless told otherwise."""
    here = {"environment": {"recorded": {"numpy": "2.1"}, "here": {"numpy": "2.1"}}}
    return Certificate("p", "c" * 32, DAY, "ann", record(**{**here, **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "all 1,500 predictions are equal, bit by bit"),
        ({"outcome": "close"}, "3 of 1,500 predictions differ, by at most 2.5e-07; tolerance 1e-06"),
        (
            {"outcome": "different", "differences": {"rows": 3, "largest": None, "columns": {"p": {}}}},
            "3 of 1,500 predictions differ, in class or by any number",
        ),
        (
            {"outcome": "different", "differences": {"rows": 9, "largest": None, "columns": None}},
            "the predictions have other columns or rows than recorded",
        ),
        ({"model_file": {"equal": False}}, "the estimator's file has other bytes"),
    ],
)
def test_a_certificate_says_what_came_out(changes, said):
    """And what was trained and judged on, by whom and where it is told."""
    made = certificate(**changes)
    assert said in repr(made)
    assert "trained on 4,500, judged on 1,500" in repr(made)
    assert "with      the recorded versions of Python and every package" in repr(made)
    assert "certificate cccccccccccc  2026-03-01 00:00 UTC  ann" in repr(made)
    assert made.sentence == f"{made.outcome} on 2026-03-01 by ann (cccccccccccc)"


def test_another_environment_is_named_in_one_line():
    """Of many packages six, and how many more."""
    before, here = ({f"package{n}": f"{major}.{n}" for n in range(8)} for major in (1, 2))
    made = certificate(environment={"recorded": before, "here": {**here, "package7": "1.7"}})
    assert set(made.environment_changes) == {f"package{n}" for n in range(7)}
    assert made.environment_changes["package3"] == ("1.3", "2.3")
    assert "another environment: package0 2.0 (recorded 1.0)" in repr(made)
    assert "package5 2.5 (recorded 1.5), and 1 more" in repr(made)


def test_a_certificate_is_told_apart_by_what_it_records():
    """Not by the order of its fields; the file of it says all."""
    made = certificate()
    turned = dataclasses.replace(made, record=dict(reversed(made.record.items())), certificate_id="e" * 32)
    assert turned.digest == made.digest
    assert certificate(tolerance=0.0).digest != made.digest
    assert made.to_json().endswith("}\n")
    values = json.loads(made.to_json())
    assert (values["digest"], values["version"], values["at"]) == (made.digest, 4, DAY.isoformat())


def test_certificates_are_kept_by_version(workspace):
    """Oldest first; the stored one is the one that was given."""
    stores = Stores(workspace, "p")
    assert read_certificates(stores) == []
    made = [keep_certificate(stores, record(version=version)) for version in (4, 5, 4)]
    assert [each.certificate_id for each in read_certificates(stores, 4)] == [
        made[0].certificate_id,
        made[2].certificate_id,
    ]
    assert [each.version for each in read_certificates(stores)] == [4, 5, 4]
    assert read_certificates(stores, 5)[0].digest == made[1].digest
    assert read_certificates(stores, 6) == []


NUMBERS = st.lists(st.floats(width=64), min_size=1, max_size=20)


@given(NUMBERS, st.randoms(use_true_random=False), st.data())
def test_of_predictions_only_values_count_and_no_order(values, random, data):
    """Shuffled they are equal; one that is moved is found, with how far."""
    known = pa.table({"a": [0] * len(values), "b": list(range(len(values))), "prediction": values})
    order = list(range(len(values)))
    random.shuffle(order)
    found = compare_predictions(known, known.take(order), identity=["a", "b"])
    assert found == {"rows": 0, "largest": 0.0, "columns": {}}
    place = data.draw(st.integers(0, len(values) - 1))
    moved = [*values[:place], values[place] + 1.0, *values[place + 1 :]]
    made = known.set_column(2, "prediction", pa.array(moved)).take(order)
    found = compare_predictions(known, made, identity=["b"])
    differs = values[place] + 1.0 != values[place] and not np.isnan(values[place])
    assert found["rows"] == differs
    assert found["largest"] == (abs(moved[place] - values[place]) if differs else 0.0)


def test_rows_that_differ_in_several_columns_count_once():
    """The largest difference is that of all numbers; none at all has none."""
    known = pa.table({"id": [1, 2, 3], "p": [0.0, 1.0, 2.0], "q": [1.0, 0.0, None]})
    made = pa.table({"id": [3, 2, 1], "p": [2.0, 1.5, 0.0], "q": [None, 0.25, 3.0]})
    found = compare_predictions(known, made, identity=["id"])
    assert (found["rows"], found["largest"]) == (2, 2.0)
    assert found["columns"] == {"p": {"rows": 1, "largest": 0.5}, "q": {"rows": 2, "largest": 2.0}}
    none = known.slice(0, 0)
    assert compare_predictions(none, none, identity=["id"]) == {"rows": 0, "largest": 0.0, "columns": {}}
    renamed = known.rename_columns(["id", "p", "r"])
    assert compare_predictions(known, renamed, identity=["id"]) == {
        "rows": 3,
        "largest": None,
        "columns": None,
    }


def test_a_history_is_a_sequence_of_entries():
    """An empty one says what fills it."""
    entries = (entry(1, 1, DAY), entry(2, 2, DAY + HOUR, from_version=1))
    history = History("p", entries)
    assert (len(history), history[-1].to_version, list(history)) == (2, 2, list(entries))
    assert repr(history).startswith("History of p: 2 entries, v2 serves\n")
    assert "v1 -> v2" in repr(history)
    assert [each["seq"] for each in json.loads(json.dumps(history.to_dict()))["entries"]] == [1, 2]
    assert "nothing was promoted yet" in repr(History("p", ()))


JUDGED = {
    **TABLES,
    "origin": {"study_run_id": "s-1", "commit": "abc", "dirty": True},
    "source": "features.flights",
    "source_version": 3,
    "config_digest": "f" * 64,
    "code": "0" * 64,
    "metric": "rmse",
    "scores": {"candidate": 1.5, "champion": None, "rows": 1200, "excluded": 0},
    "ingredients": {"environment": {"python": "3.11", "numpy": "2.1.0"}},
    "verdict": {"reasons": ["rmse 1.5 is below 2"]},
}


def explanation(judged=JUDGED, **changes) -> Explanation:
    """What is recorded about v2."""
    decision = Decision("run-2", "", "promote", judged, DAY) if judged is not None else None
    values = {"serves": False, "promotions": (), "files": Files(), "mark": None, "certificates": ()}
    version = ModelVersion("p", 2, "m-2", "r-2", {})
    return Explanation(**{"project": "p", "version": version, "decision": decision, **values, **changes})


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ({}, "study     run unknown"),
        ({"study_run_id": "s-1", "commit": "abc"}, "commit abc, 0 files with the model"),
        ({"commit": "abc", "dirty": True}, "commit abc and changes"),
        ({"dirty": False}, "commit none, 0 files"),
        ({"edited_from": "1234567890abcdef"}, "none: edited by hand from config 1234567890ab"),
    ],
)
def test_an_explanation_says_where_a_version_comes_from(origin, said):
    """The study that found it, or whose config was edited; the commit, and whether it was clean."""
    assert said in repr(explanation({**JUDGED, "origin": origin}))


def test_an_explanation_tells_all_that_is_recorded():
    """Who promoted it first, in which attempt of a job, its mark and what came of making it again."""
    first = entry(3, 2, DAY, evidence={**TABLES, "attempt": {"attempt": "job 7, run 8"}})
    found = explanation(
        serves=True,
        promotions=(first, entry(5, 2, DAY + HOUR, actor="bob")),
        files=Files("name: p", {"a.py": "1" * 64}),
        mark=mark(),
        certificates=(certificate(),),
    )
    for part in (
        *("p v2  serves now  m-2", "made      2026-03-01T00:00:00+00:00 by ann in job 7, run 8"),
        *("train     1,200 rows  training.p__train", "with      python 3.11, numpy 2.1.0"),
        *("rmse candidate 1.5, no champion on 1,200 rows", "gate      rmse 1.5 is below 2"),
        *("1 files with the model", "mark      v2 is marked bad", "again     identical on 2026-03-01"),
    ):
        assert part in repr(found)
    values = json.loads(json.dumps(found.to_dict()))
    assert (values["made"]["by"], values["config"], list(values["code"])) == ("ann", "name: p", ["a.py"])


def test_an_explanation_of_somebody_elses_version():
    """Nothing is known, and nothing is made up."""
    found = explanation(None, files=Files(damage="model.pkl: it is gone [INT020]"))
    assert found.environment == {}
    assert found.made == {"at": None, "by": None, "attempt": None}
    assert "record    none: no deployment of mlkit has made it" in repr(found)
    assert "files     model.pkl: it is gone [INT020]" in repr(found)
    assert found.to_dict()["decision"] is None
