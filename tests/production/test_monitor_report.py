"""What a check says of itself: a verdict that a script and a person can act on."""

from __future__ import annotations

import json

import pytest

from mlkit.errors import ServingError
from mlkit.production.alerts import Sent
from mlkit.production.monitor_report import (
    SEVERITY,
    Coverage,
    Ignored,
    MonitorReport,
    MonitorRun,
    check_id_of,
)
from mlkit.production.windows import Span
from tests.production.watching import SPAN, check, report

LOST = Sent(error=ServingError("NET091", "no answer"))


@pytest.mark.parametrize(
    ("made", "code", "told_apart"),
    [
        (report("OK"), 0, 0),
        (report("WARN"), 0, 0),
        (report("DRIFT"), 0, 7),
        (report("INSUFFICIENT_DATA"), 0, 8),
        (report("NO_DATA"), 0, 8),
        (report("ERROR", error={"code": "STO010", "exit_code": 20}), 20, 20),
        (report("ERROR", error={"code": "BUG001"}), 70, 70),
        (report("DRIFT", sent=LOST), 4, 4),
        (report("ERROR", error={"exit_code": 30}, sent=LOST), 30, 30),
    ],
)
def test_exit_codes(made, code, told_apart):
    """Quiet and warned are 0; a failure never is; drift and doubt only where they are asked for."""
    assert (made.exit_code, made.verdict_code) == (code, told_apart)


def test_the_reason_of_a_column_stands_in_its_line():
    """And not a second time above it; what is no column's stands there."""
    made = report("WARN", reasons=("prediction: a reason", "few rows"), columns=(check(),))
    assert repr(made).count("a reason") == 1
    assert "  few rows" in repr(made).splitlines()


def test_several_windows_exit_with_a_failure_or_with_the_newest():
    """What came before the newest was somebody's to see."""
    assert MonitorRun((report("DRIFT"), report("OK"))).verdict_code == 0
    assert MonitorRun((report("OK"), report("DRIFT"))).verdict_code == 7
    assert MonitorRun((report("ERROR", error={"exit_code": 20}), report("OK"))).exit_code == 20
    run = MonitorRun((report("DRIFT", version=2, rows=1234), report("NO_DATA")))
    assert "1 DRIFT, 1 NO_DATA" in repr(run)
    assert "1,234 rows" in repr(run)
    assert "because" in run._repr_html_()


def test_the_text_answers_the_next_question():
    """Verdict, why, what moved, what was left out, whether somebody knows, and what to type."""
    cells = [{"label": "1 to 2", "reference": 0.1, "window": 0.4}]
    made = report(
        "DRIFT",
        version=3,
        model_id="m-1",
        columns=(check(verdict="DRIFT", found={"effect": 0.3, "moved": cells}), check("input_a")),
        ignored=Ignored(traffic=5, others={"m-0": 7}, repeated=2, late=1, future=9),
        coverage=Coverage(served=200, logged=199, dropped=1),
        power="shifts show",
        assumption="rows are independent",
        sent=Sent(("command",)),
        table="monitoring.flights__drift",
        recorded=True,
    )
    for said in (
        "DRIFT  flights  2026-06-01 to 2026-06-08  v3 m-1", "prediction: 1 to 2  10.0% -> 40.0%",
        "5 rows not of production", "7 rows of another model, m-0", "2 rows repeated",
        "9 rows with an event time",
        "99.5% of 200 served rows", "told    command", "recorded in monitoring.flights__drift",
        "mlkit retrain flights",
    ):  # fmt: skip
        assert said in repr(made)
    assert "was not delivered: no answer" in repr(report(sent=LOST))
    many = report(columns=tuple(check(f"input_{number}") for number in range(30)))
    assert "and 18 more columns" in repr(many)


def test_plain_values_are_json_whatever_was_found():
    """A number that is not finite is missing; the page's history is no part of the record."""
    made = report(
        columns=(check(found={"w1": float("nan"), "ks": 0.5}, reference=(1, 2), observed=(3, 4)),),
        history=({"verdict": "OK"},),
    )
    said = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert said["columns"][0]["found"] == {"w1": None, "ks": 0.5}
    assert said["columns"][0]["observed"] == [3, 4]
    assert (said["since"], said["until"]) == ("2026-06-01T00:00:00+00:00", "2026-06-08T00:00:00+00:00")
    assert "history" not in said
    assert made.column("prediction").moved == []
    with pytest.raises(KeyError):
        made.column("input_a")


def test_a_finding_is_told_apart_by_what_was_found():
    """Not by when, how long it took, the order of its columns, or who was told."""
    base = report(columns=(check(observed=(1, 2)), check("input_a")), model_id="m-1")
    same = report(
        columns=tuple(reversed(base.columns)), model_id="m-1", seconds=9.0, recorded=True, sent=LOST
    )
    assert check_id_of(base) == check_id_of(same)
    others = [
        report(columns=(check(observed=(1, 3)), check("input_a")), model_id="m-1"),
        report(columns=base.columns, model_id="m-2"),
        report("WARN", columns=base.columns, model_id="m-1"),
        report(columns=base.columns, model_id="m-1", coverage=Coverage(2, 1, 1)),
        MonitorReport(
            "flights",
            Span(SPAN.since, SPAN.since + SPAN.width / 2),
            "OK",
            (),
            columns=base.columns,
            model_id="m-1",
        ),
    ]
    assert len({check_id_of(each) for each in [base, *others]}) == 6


def test_coverage_is_a_share_of_what_was_served():
    """Nothing served is nothing lost; more logged than served, by hours that reach over, is all of it."""
    assert Coverage(0, 0, 0).share == 1.0
    assert Coverage(200, 190, 10).to_dict()["share"] == 0.95
    assert Coverage(100, 120, 0).share == 1.0


def test_a_failure_is_worse_than_anything_that_was_found():
    """And silence worse than doubt: a window is as bad as its worst column."""
    assert SEVERITY.index("ERROR") == max(range(6))
    assert SEVERITY.index("DRIFT") > SEVERITY.index("NO_DATA") > SEVERITY.index("WARN") > SEVERITY.index("OK")


def test_the_page_is_written_whole(tmp_path):
    """In a folder that is made for it."""
    path = tmp_path / "reports" / "page.html"
    report("DRIFT", columns=(check(verdict="DRIFT"),)).write_html(path)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]
