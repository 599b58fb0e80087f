"""A production without training: tables, models, versions and records as a deployment leaves them."""

from __future__ import annotations

import datetime as dt
import os

import pandas as pd
import pyarrow as pa
from sklearn.linear_model import LinearRegression

from mlkit.production.decisions import Decision
from mlkit.production.ledger import Entry
from mlkit.production.outputs import TABLES
from mlkit.production.registry import MANIFEST_TAG, MODEL_KEY
from mlkit.production.stores import Stores
from mlkit.tracking.models import save_model
from mlkit.tracking.upkeep import TrackingUpkeep
from mlkit.workspace import table_name

DAY = dt.timedelta(days=1)
PREFIXES = {"train": "train", "test": "test", "predictions": "test_predictions"}


class Quick:
    """Makes versions of a project; `now` is its time, which only moves when told."""

    def __init__(self, workspace, project, folder):
        self.stores = Stores(workspace, project)
        self.now = dt.datetime.now(dt.UTC)
        self._folder = folder / "model"
        if not self._folder.exists():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            example = pd.DataFrame({"x": [1.0, 2.0]})
            model = LinearRegression().fit(example, [1.0, 2.0])
            digest = save_model(
                self._folder, model, serialization="cloudpickle", example=example, output="f", requirements=[]
            )
            (folder / "digest").write_text(digest)
        self._digest = (folder / "digest").read_text()

    def tables(self, train, test, predictions):
        """Publish three tables, each told by one number, as old as `now` says."""
        made = {}
        for part, number in zip(TABLES, (train, test, predictions), strict=True):
            rows = pa.table({"value": [number] * 2, "part": [part] * 2})
            name = f"{self.stores.project}__{PREFIXES[part]}"
            published = self.stores.engine.publish("training", name, rows.to_reader())
            made[part] = {"table": str(published.name), "fingerprint": published.fingerprint, "rows": 2}
            self.age(str(published.name))
        return made

    def age(self, table):
        """Make a table as old as `now` says, which is what its publication now would have done."""
        name = table_name(table)
        if self.stores.workspace.spec.spark:
            return
        folder = self.stores.workspace.home / "lake" / name.schema / name.name
        for path in (folder / "_delta_log", folder):
            os.utime(path, (self.now.timestamp(), self.now.timestamp()))

    def judge(self, tables, outcome="promote", *, key="k"):
        """A logged model, and the decision about it."""
        run = self.stores.tracking.start(self.stores.experiment, "deploy", tags={"mlkit_kind": "deploy"})
        self.stores.tracking.end(run)
        tags = {MODEL_KEY: key, MANIFEST_TAG: self._digest}
        model_id = self.stores.registry.log(
            self._folder, experiment=self.stores.experiment, run_id=run, tags=tags
        )
        record = {
            **tables,
            "candidate": {"model_id": model_id, "manifest_digest": self._digest},
            "scores": {"candidate": 1.0, "champion": None, "rows": 2, "champion_error": ""},
            "origin": {},
            **dict.fromkeys(("key", "ingredients", "rules", "source", "source_version", "code"), ""),
            "config_digest": "",
        }
        head = self.stores.ledger.head()
        decision = Decision(f"{key}-{run}", head.model_id if head else "", outcome, record, self.now)
        self.stores.decisions.record(decision)
        return decision, run

    def promote(self, train=1, test=1, predictions=1):
        """A version that serves from `now` on; gives its entry."""
        decision, run = self.judge(self.tables(train, test, predictions))
        tags = {MODEL_KEY: "k", MANIFEST_TAG: self._digest}
        tags |= {f"mlkit_{part}_table": decision.record[part]["table"] for part in TABLES}
        model_id = decision.record["candidate"]["model_id"]
        version = self.stores.registry.register(model_id, run_id=run, run_key=decision.run_key, tags=tags)
        return self._append("promotion", version, run, decision.run_key, decision.evidence)

    def serve_again(self, entry):
        """A rollback to the version of an entry."""
        head = self.stores.ledger.head()
        made = Entry(
            **{
                **entry.__dict__,
                "seq": head.seq + 1,
                "at": self.now,
                "kind": "rollback",
                "from_version": head.to_version,
            }
        )
        self.stores.ledger.append(made, expected_seq=head.seq)
        self.stores.show_head(made)
        return made

    def _append(self, kind, version, run, run_key, evidence):
        head = self.stores.ledger.head()
        entry = Entry(
            seq=head.seq + 1 if head else 1,
            at=self.now,
            kind=kind,
            actor="x",
            reason="because",
            from_version=head.to_version if head else None,
            to_version=version.version,
            model_id=version.model_id,
            run_id=run,
            manifest_digest=version.manifest_digest,
            run_key=run_key,
            model_key="k",
            evidence=evidence,
        )
        self.stores.ledger.append(entry, expected_seq=entry.seq - 1)
        self.stores.show_head(entry)
        return entry

    def there(self):
        """Full names of the tables of the training schema."""
        return {str(table) for table in self.stores.engine.tables("training")}

    def models(self):
        """Ids of the models that are there."""
        upkeep = TrackingUpkeep(self.stores.tracking)
        return {model.model_id for model in upkeep.models(self.stores.experiment)}


def tables_of(entry) -> set[str]:
    """Names of the tables of an entry."""
    return {entry.evidence[part]["table"] for part in TABLES}
