"""The parts of a difference as values and in words: rows, columns, files, configs and scores."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.data.drift import Comparison
from mlkit.data.drift_effects import Moved
from mlkit.production.code_difference import FileChange, changed_files
from mlkit.production.difference import Change, Difference
from mlkit.production.row_difference import LEAST_EFFECT, RowDifference, columns_of, moved
from mlkit.production.stores import Stores

SCORES = {
    "own": {"before": {"metric": "rmse", "score": 2.5}, "after": {"metric": "mae", "score": None}},
    "same": None,
    "same_test": False,
}


def difference(**changes) -> Difference:
    """A difference of nothing but what is given."""
    parts = ("config", "rows", "exchanged", "columns", "shifts", "environment", "code", "files")
    values = {**{part: {} for part in parts}, "scores": SCORES, "notes": (), **changes}
    return Difference(project="p", before=1, after=2, **values)


def shift(effect, p_value=0.0, **changes) -> Comparison:
    """A column whose spread has changed."""
    values = dict.fromkeys(("psi", "js", "tv", "l_infinity", "chi2", "visible"), 0.0)
    pairs = {"missing": (0.0, 0.0), "outside": (0.0, 0.0), "rows": (100, 100)}
    return Comparison(p_value=p_value, ks=effect, w1=None, **{**values, **pairs, **changes})


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((1200, 1200, 1200, 0, 0, 0), "the same 1,200 rows"),
        ((0, 0, 0, None, 0, 0), "the same 0 rows"),
        ((2, 2, 1, 1, 0, 0), "2 -> 2 rows: 0 added, 0 removed, 1 changed, 1 unchanged"),
        ((3, 1500, 2, None, 1498, 1), "3 -> 1,500 rows: 1,498 added, 1 removed, 2 unchanged"),
    ],
)
def test_rows_in_one_line(counts, sentence):
    """Nothing is said of changes where no key tells them."""
    found = RowDifference(*counts)
    assert found.sentence == sentence
    assert tuple(found.to_dict().values()) == counts


def test_columns_have_moved_if_chance_does_not_and_by_enough():
    """The more columns, the less is left to chance in each; the largest first, by `tv` for categories."""
    found = moved(
        {
            "small": shift(LEAST_EFFECT - 1e-9),
            "least": shift(LEAST_EFFECT, 0.002),
            "chance": shift(0.5, 0.0021),
            "class": shift(0.0, tv=0.9, category=True),
            "large": shift(0.3),
        }
    )
    assert list(found) == ["class", "large", "least"]
    assert list(moved({"chance": shift(0.5, 0.0021)})) == ["chance"]
    assert moved({}) == {}


def test_a_table_that_is_gone_has_no_columns(workspace):
    """Of one that is there, each with its type."""
    stores = Stores(workspace, "p")
    assert columns_of(stores, "training.p__train__0") == {}


def written(folder, files):
    """Files by name."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"", b"a\nb\n", ("changed", 2, 0)),
        (None, b"", ("added", 0, 0)),
        (b"a\n", None, ("removed", 0, 1)),
        (b"-- sql\n++i\nkeep\n", b"keep\n", ("changed", 0, 2)),
        (b"keep\n", b"keep\n+++ x\n--- y\n", ("changed", 2, 0)),
        (b"a\nb\n", b"a\r\nb\r\n", ("changed", 0, 0)),
        ("größe = 1\n".encode(), "größe = 2\n".encode(), ("changed", 1, 1)),
        (b"text\n", b"\x80", ("changed", 0, 0)),
        (b"\x80", None, ("removed", 0, 0)),
    ],
)
def test_lines_of_a_file_that_came_and_went(tmp_path, old, new, expected):
    """Also such as look like the signs of a diff; of what is no text only that it differs."""
    before, after = (
        written(tmp_path / side, {} if content is None else {"a.py": content})
        for side, content in (("before", old), ("after", new))
    )
    change = changed_files(before, after)["a.py"]
    assert (change.state, change.added, change.removed) == expected
    assert bool(change.text) is (change.added + change.removed > 0)


LINES = st.lists(st.sampled_from(["", "a", "- b", "+c", "--- before/a.py", "@@ -1 +1 @@"]), max_size=8)


@given(LINES, LINES)
def test_lines_that_came_less_those_that_went_make_the_difference(tmp_path_factory, left, right):
    """Whatever stands in them; and equal files have none."""
    folder = tmp_path_factory.getbasetemp() / "lines"
    folder.mkdir(exist_ok=True)
    texts = ["".join(f"{line}\n" for line in lines).encode() for lines in (left, right)]
    before, after = (written(folder / side, {"a.py": text}) for side, text in zip("ab", texts, strict=True))
    found = changed_files(before, after)
    assert set(found) == (set() if left == right else {"a.py"})
    for change in found.values():
        assert change.added - change.removed == len(right) - len(left)


def test_a_difference_of_nothing_says_so_part_by_part():
    """Notes appear only where there are any."""
    text = repr(difference(scores={**SCORES, "same_test": True}))
    assert text.startswith("p v1 -> v2\n")
    for part in ("config", "rows", "columns", "shift", "with", "code"):
        assert f"  {part:<8}  no difference" in text
    assert "  scores    rmse 2.5 -> mae none, each on the same test rows" in text
    assert "note" not in text
    assert text.endswith("next      mlkit explain p 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(1, 1.5), "x: 1 -> 1.5"),
        (Change(None, True), "x: unset -> true"),
        (Change("a", None), "x: a -> unset"),
        (Change(["a", "b"], ["b", "c"]), "x: +c, -a"),
        (Change(["a", "b"], ["b", "a"]), "x: another order"),
        (Change(["a"], None), 'x: ["a"] -> unset'),
        (Change("ü" * 49, {"k": 1}), f'x: {"ü" * 46}.. -> {{"k": 1}}'),
        (Change("y" * 48, 0), f"x: {'y' * 48} -> 0"),
    ],
)
def test_a_value_of_the_config_before_and_after(change, said):
    """Of lists what came and what went; what is long is cut."""
    assert said in repr(difference(config={"x": change})).split("\n")[1]


def test_of_many_differences_a_dozen_is_shown():
    """And how many more there are; plain values hold all."""
    found = difference(config={f"field{n}": Change(n, n + 1) for n in range(15)})
    assert repr(found).count(" -> ") == 12 + 2
    assert "and 3 more: --json" in repr(found)
    assert len(json.loads(json.dumps(found.to_dict()))["config"]) == 15


def test_every_part_has_its_words():
    """Rows that changed sides, columns that moved, files, both scores at the gate, and notes."""
    cells = tuple(Moved(f"cell{n}", 0.25, 0.5) for n in range(3))
    found = difference(
        rows={"train": RowDifference(2, 3, 2, 0, 1, 0)},
        exchanged={"train_to_test": 1200, "test_to_train": 0},
        columns={"added": ["wind", "rain"], "removed": []},
        shifts={"hour": shift(0.125, moved=cells), "still": shift(0.0)},
        environment={"numpy": Change("2.1", None)},
        code={"commit": Change("abc", "abc and changes")},
        files={"a.py": FileChange("changed", 2, 1, "")},
        scores={**SCORES, "same": {"metric": "rmse", "rows": 1500, "before": 3.0, "after": 2.0}},
        notes=("the files of v1 cannot be compared",),
    )
    for said in (
        *("rows      train  2 -> 3 rows: 1 added", "1,200 rows went from train to test"),
        *("columns   added wind, rain", "with      numpy 2.1 -> unset", "code      commit: abc -> abc and"),
        "shift     hour: 12.5 % of the rows have moved; cell0 25.0 % -> 50.0 %, cell1 25.0 % -> 50.0 %\n",
        *("a.py: changed, +2 -1 lines", "rmse 3 -> 2 on the same 1,500 rows, at the gate"),
        *("each on its own test rows", "note      the files of v1 cannot be compared"),
    ):
        assert said in repr(found)
    for unsaid in ("test to train", "still", "removed "):
        assert unsaid not in repr(found).replace("0 removed", "")
    values = json.loads(json.dumps(found.to_dict()))
    assert values["environment"] == {"numpy": {"before": "2.1", "after": None}}
    assert (values["shifts"]["hour"]["effect"], values["files"]["a.py"]["added"]) == (0.125, 2)
