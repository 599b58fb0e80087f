"""Cleanup, fsck and doctor where the tables are in Spark."""

from __future__ import annotations

import datetime as dt

import pytest

pytest.importorskip("pyspark")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(300)]

from mlkit import open_workspace  # noqa: E402 - it needs pyspark
from mlkit.doctor.examine import examine  # noqa: E402 - as above
from mlkit.engines.spark.catalog import STAGING  # noqa: E402 - as above
from mlkit.fsck import check_stores  # noqa: E402 - as above
from mlkit.production.cleanup.plan import plan_cleanup  # noqa: E402 - as above
from mlkit.production.cleanup.retention import Retention  # noqa: E402 - as above
from mlkit.production.cleanup.sweep import clean_up  # noqa: E402 - as above
from tests.production.quick import DAY, Quick, tables_of  # noqa: E402 - as above

TIGHT = Retention(keep_days=0, keep_versions=1)


@pytest.fixture(params=["sail", "connect"])
def quick(request, home, tmp_path):
    """A production whose tables are in Spark."""
    address = request.getfixturevalue(request.param)
    mark = tmp_path.name.replace("-", "_")[-20:].lower() + request.param
    schemas = ", ".join(f'{name} = "{name[0]}_{mark}"' for name in ("features", "training", "monitoring"))
    config = tmp_path / "mlkit.toml"
    config.write_text(f'[targets.there]\nspark = {{ remote = "{address}" }}\nschemas = {{ {schemas} }}\n')
    return Quick(open_workspace("there", home=home, config=config), "flights", tmp_path / "model")


def test_a_cleanup_in_a_catalog(quick):
    """Ages by the catalog, drops by its statements; staged tables of killed writers go as well."""
    first, second, third = (quick.promote(number, 1, number) for number in range(3))
    engine = quick.stores.engine
    assert abs(engine.upkeep.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert abs(engine.upkeep.made_at(engine.tables("training")[0]) - engine.upkeep.now()) < dt.timedelta(
        minutes=5
    )
    catalog = engine._catalog
    catalog.session.range(3).writeTo(f"{catalog._schema('training')}.{STAGING}left").create()
    assert plan_cleanup(quick.stores, Retention()).goes == ()
    later = quick.now + 100 * DAY
    plan = plan_cleanup(quick.stores, TIGHT, now=later)
    gone = tables_of(first) - tables_of(second) - tables_of(third)
    assert {item.target.name for item in plan.goes if item.target.kind == "table"} == gone
    # Sail keeps no time with a table that mlkit did not make: it stays.
    known = any(item.target.kind == "staging" for item in plan.goes)
    before = quick.there()
    clean_up(quick.stores, TIGHT, now=later)
    assert quick.there() == before - gone
    assert bool(catalog.names("training", prefix=STAGING)) is not known
    report = check_stores(quick.stores.workspace)
    assert (report.damages, report.exit_code) == ((), 0)


@pytest.mark.parametrize("quick", ["sail"], indirect=True)
def test_the_doctor_looks_at_a_catalog(quick, monkeypatch, tmp_path):
    """The races are run there, and leave no table."""
    monkeypatch.chdir(tmp_path)
    quick.promote()
    before = quick.stores.engine.tables("monitoring")
    report = examine("there")
    assert [str(finding) for finding in report.findings if finding.state == "FAIL"] == []
    assert quick.stores.engine.tables("monitoring") == before
