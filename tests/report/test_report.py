"""The report of a project: what it says at each stage of its life, three times the same."""

from __future__ import annotations

import json
import re

import pytest

from mlkit import open_workspace
from mlkit.errors import StoreError
from mlkit.production.marks import mark_version
from mlkit.production.pins import pin
from mlkit.production.rollback import roll_back
from mlkit.production.stores import Stores
from mlkit.report.context import open_context
from mlkit.report.findings import FINDINGS
from mlkit.report.report import default_path, make_report, write_report
from mlkit.report.section import SEVERITIES
from tests.conftest import make_flights
from tests.production import scenes
from tests.production.serving.listening import Service, served
from tests.report.conftest import NAME, SECRET, later

ORDER = [
    *("attention", "serving", "deployments", "drift", "trial", "studies"),
    *("data", "config", "figures", "provenance"),
]


def codes(report, *severities):
    """Codes of findings of these severities."""
    return {found.code for found in report.findings if found.severity in severities}


def found(report, code):
    """The finding of a code."""
    return next(each for each in report.findings if each.code == code)


def test_a_new_project_is_told_what_comes_next(workspace):
    """Looking at a project that has nothing teaches the first steps, and makes nothing."""
    before = scenes.listing(workspace.home)
    report = make_report(Stores(workspace, "brand_new"), problem={"target": "y", "metric": "rmse"})
    assert "No model serves yet; nothing was tried yet." in repr(report)
    assert "predicts y, judged by rmse" in report.to_markdown()
    assert "project.snapshot" in report.to_markdown()
    assert "project.freeze" in report.section("config").markdown
    assert found(report, "RPT001").command.startswith("snapshot = ")
    assert scenes.listing(workspace.home) == before


def test_the_sections_stand_in_their_order(report):
    """All that are there, in the order in which they are read."""
    anchors = [section.anchor for section in report.sections]
    assert anchors == [anchor for anchor in ORDER if anchor in anchors]
    assert {"attention", "serving", "deployments", "drift", "config", "provenance"} <= set(anchors)


def test_the_state_is_one_sentence_with_linked_figures(report):
    """Who serves since when, what the last deploy did, drift or not; each figure leads to its evidence."""
    assert re.fullmatch(
        r"v2 has served for .+; the last deploy put it there; drift .+\.", report.masthead.sentence
    )
    anchors = {section.anchor for section in report.sections}
    assert {tile.anchor for tile in report.masthead.figures} <= anchors
    html = report.to_html()
    assert all(f'href="#{tile.anchor}"' in html for tile in report.masthead.figures)


def test_all_three_forms_say_the_same(report, lived):
    """Numbers of the last verdict stand in the values, in Markdown and on the page."""
    values = json.loads(report.to_json())
    last = values["sections"]["deployments"]["values"]["last"]
    decision = Stores(lived.workspace, NAME).decisions.all()[-1].record
    assert (last["candidate"], last["champion"]) == (
        decision["scores"]["candidate"],
        decision["scores"]["champion"],
    )
    assert (last["rows"], last["excluded"]) == (decision["scores"]["rows"], decision["scores"]["excluded"])
    assert last["improvement"] == pytest.approx(last["champion"] - last["candidate"])
    for text in (report.to_markdown(), report.to_html()):
        assert f"{last['candidate']:.4g}" in text
        assert all(each["code"] in text for each in values["findings"])
        assert values["sentence"] in text
    assert values["format"] == 1


def test_a_finding_has_code_sentence_and_evidence(report):
    """Every code is in the catalogue, every anchor on the page; the worst stand first."""
    anchors = {section.anchor for section in report.sections}
    assert len(report.findings) > 12
    for each in report.findings:
        assert each.code in FINDINGS
        assert each.anchor in anchors
        assert each.sentence
        assert not each.sentence.endswith(".")
    ranks = [SEVERITIES.index(each.severity) for each in report.findings]
    assert ranks == sorted(ranks)


def test_what_was_found_in_this_project(report):
    """Drift of the second week, the look at the test rows, the missing commit; and what could not be told."""
    assert found(report, "RPT020").severity == "act"
    assert "distance" in found(report, "RPT020").sentence
    assert found(report, "RPT013").value == 1
    assert "RPT006" not in codes(report, "act", "look", "not run", "fine")  # the target names no services
    assert "Services were not asked: the target local names none" in report.section("serving").markdown
    assert "without a commit" in found(report, "RPT014").sentence
    assert "RPT050" in codes(report, "not run")
    assert {"RPT003", "RPT004", "RPT010", "RPT016", "RPT044", "RPT046"} <= codes(report, "fine")


def test_the_champion_is_told_link_by_link(report, lived):
    """From the source to the version, each with what it is known by; and the way back."""
    serving = report.section("serving")
    entry = Stores(lived.workspace, NAME).ledger.head()
    links = {link["link"]: link["known_by"] for link in serving.values["chain"]}
    assert links["snapshot"] == entry.evidence["train"]["fingerprint"]
    assert links["test rows"] == entry.evidence["test"]["fingerprint"]
    assert links["model"] == entry.model_id
    assert serving.values["rollback_to"] == 1
    assert f"mlkit rollback {NAME} --to 1" in serving.markdown
    score = serving.values["scores"]
    assert score["interval"]["low"] < score["score"] < score["interval"]["high"]
    assert score["score"] < score["constant"]
    context = open_context(Stores(lived.workspace, NAME))
    assert context.interval(context.decisions[-1]) is context.interval(context.decisions[-1])


def test_both_scores_and_their_difference_have_an_interval_on_the_same_rows(report, lived):
    """All test rows of the candidate, the newer ones too, as the gate recorded it."""
    last = report.section("deployments").values["last"]
    kept = Stores(lived.workspace, NAME).decisions.all()[-1].record["intervals"]
    assert (last["candidate_interval"], last["champion_interval"]) == (kept["candidate"], kept["champion"])
    assert last["interval"] == kept["improvement"]
    assert {each["rows"] for each in kept.values()} == {last["rows"]}
    assert last["interval"]["value"] == pytest.approx(last["improvement"])
    assert last["interval"]["low"] <= last["improvement"] <= last["interval"]["high"]
    assert "above 0 is better" in report.section("deployments").markdown


def test_live_shows_windows_labels_and_the_rate_of_alarms(report):
    """Both weeks, the score of the one that has labels, and under which rule an alarm is given."""
    live = report.section("drift")
    assert [window["verdict"] for window in live.values["windows"]] == ["INSUFFICIENT_DATA", "DRIFT"]
    assert len(live.values["performance"]) == 1
    assert live.values["window_alpha"] == pytest.approx(7 / 365, rel=1e-3)
    assert "false alarms" in live.markdown
    assert "2026-06-01 to 2026-06-08" in live.markdown
    assert live.is_open


def test_the_rehearsal_stands_beside_trial_and_production(report):
    """What the handoff proved was kept, and equals the trial."""
    proof = report.section("config").values["rehearsal"]
    rows = {row["what"]: row for row in proof["rows"]}
    assert rows["predictions"]["trial"] == rows["predictions"]["package"]
    assert rows["fold scores"]["trial"] == list(rows["fold scores"]["package"])
    assert proof["rehearsal"]["wheel"].endswith(".whl")


def test_secrets_are_in_none_of_the_forms(report, lived):
    """A token in a reason stays in the ledger alone."""
    assert SECRET in Stores(lived.workspace, NAME).ledger.head().reason
    for text in (report.to_html(), report.to_markdown(), report.to_json(), repr(report)):
        assert SECRET not in text
        assert "dapi01234" not in text


def test_a_rollback_and_a_mark_are_said(copied):
    """After a rollback the sentence says so; what serves and is marked bad has to be acted on."""
    stores = copied
    mark_version(stores, 1, reason="it knows the answer")
    pin(stores, 2, reason="an auditor asks")
    marked = make_report(stores)
    assert found(marked, "RPT043").value == 1
    assert found(marked, "RPT042").value == 1
    assert found(marked, "RPT005").value is None
    mark_version(stores, 1, reason="it does not", bad=False)
    roll_back(stores, to=1, reason="too slow")
    mark_version(stores, 1, reason="it does")
    report = make_report(stores)
    assert "it is a rollback from v2" in report.masthead.sentence
    assert found(report, "RPT002").severity == "act"
    assert "too slow" in report.section("serving").markdown


def test_an_edited_config_is_shown_as_a_diff(copied):
    """The reviewer sees the changed line, and the command that says what it would do."""
    path = copied.workspace.home.parent / "models" / f"{NAME}.yaml"
    path.write_text(path.read_text().replace("threshold: 25.0", "threshold: 20.0"))
    report = make_report(copied)
    edit = found(report, "RPT044")
    assert (edit.severity, edit.value, edit.command) == ("look", 2, f"mlkit plan {NAME}")
    assert "-  threshold: 25.0\n+  threshold: 20.0" in report.section("config").markdown
    path.write_text("nonsense: true\n")
    assert found(make_report(copied), "RPT044").severity == "act"


def test_newer_rows_and_old_checks_are_said(copied):
    """The source has moved on since training, and nobody has looked for a long time."""
    scenes.publish(copied.engine, make_newer())
    report = make_report(copied, at=later(days=400))
    assert found(report, "RPT031").severity == "look"
    assert (found(report, "RPT022").severity, found(report, "RPT022").value) == ("look", 400.0)
    assert found(make_report(copied, at=later(days=-1)), "RPT022").severity == "not run"
    assert "13 months" in report.masthead.sentence


def test_a_part_that_cannot_be_made_says_so_in_its_place(copied):
    """One damaged record takes one part away, not the report."""
    table = copied.workspace.home / "lake" / "monitoring" / f"{NAME}__drift"
    for file in table.rglob("*.parquet"):
        file.write_bytes(b"no parquet")
    report = make_report(copied)
    failed = found(report, "RPT059")
    assert failed.severity == "not run"
    assert "Live could not be looked at" in failed.sentence
    assert report.section("serving").values["version"] == 2


def test_services_of_the_target_are_asked(copied):
    """What each says stands beside what the ledger names; one that is silent holds nothing up."""
    head = copied.ledger.head()
    with served(Service(project=NAME, seq=head.seq, model_id=head.model_id)) as right:
        stores = serving(copied, right.url)
        asked = make_report(stores)
        assert found(asked, "RPT006").severity == "fine"
        assert f"{right.url} | answers with v{head.to_version}" in asked.section("serving").markdown
        right.seq, right.version = 1, 1
        assert found(make_report(stores), "RPT006").severity == "act"
    silent = found(make_report(stores), "RPT006")
    assert (silent.severity, silent.value) == ("look", 1)
    assert "does not answer" in silent.sentence


def test_it_is_written_whole_and_logged_with_the_champion(copied):
    """One file among the stores, its size told, the same page in MLflow; the ending decides the form."""
    report = write_report(copied)
    assert report.path == default_path(copied)
    assert report.path.read_text(encoding="utf-8") == report.to_html()
    assert f"{report.path}  " in repr(report)
    assert report.bytes < 5_000_000
    head = copied.ledger.head()
    assert report.run_id == head.run_id
    assert "report.html" in scenes.artifacts(copied, head.run_id)
    markdown = write_report(copied, copied.workspace.home / "r.md", log=False)
    assert markdown.path.read_text(encoding="utf-8").startswith(f"# {NAME}\n")
    assert markdown.run_id == ""
    with pytest.raises(StoreError, match="STO023"):
        report.save(report.path / "below-a-file.html")


def serving(stores, *urls):
    """The same stores, of a target that names services."""
    home = stores.workspace.home
    listed = ", ".join(f'"{url}"' for url in urls)
    (home.parent / "mlkit.toml").write_text(f"[targets.local.serving]\nreplicas = [{listed}]\n")
    return Stores(open_workspace(home=home), NAME)


def make_newer():
    """Flights that were not there before."""
    newer = make_flights(20, seed=9)
    newer["flight_id"] += 5_000
    return newer
