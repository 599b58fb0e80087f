"""The champion on the candidate's test rows: which of them it may be judged on, and what it says.

It is judged as it serves: by its own files, its own code and the dtypes of its own contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit import document
from mlkit.boundary import user_code
from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame
from mlkit.digest.fingerprint import lanes
from mlkit.errors import DataError
from mlkit.model.predictions import predict
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.outputs import read_output
from mlkit.tracking.models import carried_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlkit.model.predictions import Predictions
    from mlkit.production.build import Build
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores


def unseen_rows(head: Entry, build: Build, stores: Stores) -> NDArray[np.bool_]:
    """Which test rows the champion was not trained on.

    Rows are told apart by key if both models have the same one, else by their whole content. Where even
    the columns differ no row can be found again; what the champion has learnt then speaks for it.

    Returns:
        (test rows,) bool.

    Raises:
        IntegrityError: The champion's train table is gone or damaged.
    """
    test = build.parts.test
    key = sorted(build.config.key)
    columns = key if key and sorted(head.evidence["key"]) == key else None
    trained = read_output(stores, head.evidence["train"]["table"]).read_all()
    if columns is None and set(trained.column_names) != set(test.column_names):
        return np.ones(test.num_rows, dtype=np.bool_)
    return ~_found_in(lanes(test, columns=columns), lanes(trained, columns=columns))


def champion_predictions(
    head: Entry, build: Build, stores: Stores, *, rows: NDArray[np.bool_]
) -> Predictions:
    """What the champion predicts for some of the test rows.

    Args:
        head: The champion.
        build: Holds the test rows.
        stores: Where the champion's files are.
        rows: (test rows,) bool, for which of them.

    Raises:
        IntegrityError: The champion's files are not what was recorded.
        DataError: The rows lack a feature of the champion, or hold another type or an unknown category.
        StudyError: The champion raised.
    """
    folder = stores.registry.folder(head.model_id)
    # Only these two: the rest of an old config may name code that is no longer there.
    config = document.read(folder / CONFIG_FILE)
    contract = Contract.from_values(config["contract"], path="contract")
    features: list[str] = config["features"]
    test = build.parts.test
    if missing := [name for name in features if name not in test.column_names]:
        message = f"champion v{head.to_version} needs this feature, and the rows no longer have it"
        fix = "keep it in prepare until a version that does not need it serves"
        raise DataError("DAT045", message, path=missing[0], fix=fix)
    frame = to_frame(test.filter(pa.array(rows)), contract, features)
    with carried_code(folder):
        with user_code(f"champion v{head.to_version}", action="load"):
            model = stores.registry.load(head.model_id, manifest_digest=head.manifest_digest)
        return predict(model, frame, task=build.config.task)


def _found_in(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool, which columns of (2, n) lanes stand among those of (2, m)."""
    names = ["lane0", "lane1"]
    numbered = pa.table([*rows, np.arange(rows.shape[1])], names=[*names, "position"])
    joined = numbered.join(pa.table(list(others), names=names), names, join_type="left semi")
    found = np.zeros(rows.shape[1], dtype=np.bool_)
    found[joined.column("position").to_numpy()] = True
    return found
