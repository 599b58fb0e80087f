"""The baseline of a model: its bins and what was counted in them at training, in one file of its folder."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from mlkit.data.drift_bins import Bins
from mlkit.data.drift_counts import Counts
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BINS_FILE = "mlkit_bins.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What was there at training, by column of the prediction log.

    Attributes:
        bins: Where each column is cut.
        counts: Of inputs: all train rows. Of the output: the sample of test rows that its bins are made of.
    """

    bins: Mapping[str, Bins]
    counts: Mapping[str, Counts]

    def to_text(self) -> str:
        """JSON with one line for each column: the same bytes for the same baseline."""
        lines = [f"  {json.dumps(name)}: {self._line(name)}" for name in self.bins]
        inside = ",\n".join(lines)
        return f'{{"format": {FORMAT}, "columns": {{\n{inside}\n}}}}\n'

    @classmethod
    def from_text(cls, text: str) -> Baseline:
        """The baseline that `to_text` wrote.

        Raises:
            DataError: It is none, or of a newer format (DAT093).
        """
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise _unusable(f"expected format {FORMAT}, found another one")
            columns = document["columns"]
            bins = {name: Bins.from_dict(said["bins"]) for name, said in columns.items()}
            counts = {name: Counts(bins[name].digest, tuple(columns[name]["counts"])) for name in bins}
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise _unusable("expected bins as a training writes them, found something else") from exc
        return cls(bins, counts)

    def _line(self, name: str) -> str:
        said: dict[str, Any] = {"bins": self.bins[name].to_dict(), "counts": self.counts[name].numbers}
        return json.dumps(said, allow_nan=False, ensure_ascii=False)


def read_baseline(folder: Path) -> Baseline:
    """The baseline of a model in its folder.

    Raises:
        DataError: There is none, or it cannot be read (DAT093).
    """
    try:
        text = (folder / BINS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise _unusable("this model was stored without bins") from exc
    return Baseline.from_text(text)


def read_bins(folder: Path) -> dict[str, Bins]:
    """The bins of a model in its folder, by column of the prediction log.

    Raises:
        DataError: There are none, or they cannot be read (DAT093).
    """
    return dict(read_baseline(folder).bins)


def _unusable(message: str) -> DataError:
    fix = "train again with this version of mlkit: mlkit deploy"
    return DataError("DAT093", message, path=BINS_FILE, fix=fix)
