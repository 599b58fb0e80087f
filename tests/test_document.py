"""The strict YAML document: what is written is read back; what misleads is refused."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import document
from mlkit.errors import ConfigError, MlkitError, SecurityError, StoreError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(st.dictionaries(st.text(), VALUES, min_size=1))
def test_whatever_is_written_is_read_back(values: dict[str, object]) -> None:
    """Any plain values survive the trip through the file, texts that look like numbers included."""
    text = document.write(values, header="a comment\nof two lines")
    assert document.parse(text.encode(), origin="x.yaml") == values


def test_nan_and_infinities_survive() -> None:
    """The special floats have their own notation."""
    text = document.write({"a": math.nan, "b": math.inf, "c": -math.inf})
    values = document.parse(text.encode(), origin="x.yaml")
    assert math.isnan(values["a"])
    assert (values["b"], values["c"]) == (math.inf, -math.inf)


def test_core_scalars_are_those_of_yaml_1_2() -> None:
    """Exponents are numbers and dates are text, whatever YAML 1.1 thought."""
    assert document.parse(b"a: 1e3\nb: 2013-01-01\nc: ~\nd: TRUE\n", origin="x") == {
        "a": 1000.0,
        "b": "2013-01-01",
        "c": None,
        "d": True,
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "CFG002"),
        (b"# only a comment\n", "CFG002"),
        (b"- 1\n", "CFG003"),
        (b"just text\n", "CFG003"),
        (b"a: [\n", "CFG004"),
        (b"a: 1\n\tb: 2\n", "CFG004"),
        (b"a: 1\n---\nb: 2\n", "CFG004"),
        (b"a: 1\nb: 2\na: 3\n", "CFG005"),
        (b"a: {b: 1, b: 2}\n", "CFG005"),
        (b"a: no\n", "CFG008"),
        (b"a: 012\n", "CFG008"),
        (b"a: 1_000\n", "CFG008"),
        (b"a: 1:30\n", "CFG008"),
        (b"a: 0x1F\n", "CFG008"),
        (b"1: a\n", "CFG009"),
        (b"? [a]\n: b\n", "CFG009"),
        (b"a: " + b"9" * 5000, "CFG009"),
        (b"a: \x00\n", "CFG004"),
        (b"a: \x1b[2J\n", "CFG004"),
        (b"\xef\xbb\xbfa: 1\n", "CFG020"),
        (b"a: \xff\n", "CFG020"),
        (b"a: !!python/object/apply:os.getcwd []\n", "SEC001"),
        (b"a: !!int 3\n", "SEC001"),
        (b"a: &x [1]\nb: *x\n", "SEC002"),
        (b"a: " + b"[" * 60 + b"]" * 60, "SEC002"),
        (b"a: " + b"x" * (1 << 20), "SEC002"),
        (b"token: dapi0123456789abcdef0123\n", "SEC003"),
    ],
)
def test_what_misleads_is_refused(text: bytes, code: str) -> None:
    """Each bad document has its own code, and the message names the file."""
    with pytest.raises(MlkitError) as caught:
        document.parse(text, origin="models/x.yaml")
    assert caught.value.code == code
    assert caught.value.path.startswith("models/x.yaml")
    assert caught.value.fix


def test_errors_name_the_line() -> None:
    """The place of a mistake is file and line."""
    with pytest.raises(ConfigError) as caught:
        document.parse(b"a: 1\nb:\n  c: 1\n  c: 2\n", origin="models/x.yaml")
    assert caught.value.path == "models/x.yaml:4"


def test_a_missing_file_is_a_config_error(tmp_path) -> None:
    """A path that does not exist is the reader's mistake, not a traceback."""
    with pytest.raises(ConfigError, match="CFG001"):
        document.read(tmp_path / "none.yaml")


def test_a_secret_is_not_repeated() -> None:
    """The message says where the secret stands, never what it is."""
    with pytest.raises(SecurityError) as caught:
        document.parse(b"a: 1\nt: ghp_abcdefghijklmnopqrstuvwxyz0123\n", origin="x.yaml")
    assert "ghp_" not in str(caught.value)
    assert "line 2" in str(caught.value)


def test_bytes_of_any_kind_are_read_or_refused() -> None:
    """Whatever stands in a file, the answer is a mapping or an error of ours."""
    pieces = st.sampled_from(
        [b"a: ", b"\n", b"- ", b"? ", b"[", b"]", b"{", b"}", b"&x ", b"*x", b"!!int ", b"|\n", b"'"]
    )

    @settings(max_examples=300, deadline=None)
    @given(st.lists(pieces | st.binary(max_size=4), max_size=12).map(b"".join))
    def check(data: bytes) -> None:
        with contextlib.suppress(MlkitError):
            assert isinstance(document.parse(data, origin="x.yaml"), dict)

    check()


def test_a_merge_key_is_a_key_like_any_other() -> None:
    """YAML 1.1 would copy another mapping in; then a duplicate could hide."""
    assert document.parse(b"<<: {a: 1}\nb: 2\n", origin="x") == {"<<": {"a": 1}, "b": 2}


def test_a_file_is_replaced_whole(tmp_path) -> None:
    """The folder is made, the old text goes, no draft stays, and others may read what git will track."""
    path = tmp_path / "models" / "x.yaml"
    mask = os.umask(0o022)
    try:
        document.save(path, "a: 1\n")
        document.save(path, "ä: 2\r\n")
    finally:
        os.umask(mask)
    assert path.read_bytes() == "ä: 2\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path) -> None:
    """The system's refusal is an error of the store, which names the file; no draft stays."""
    (tmp_path / "folder" / "x.yaml").mkdir(parents=True)
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "folder" / "x.yaml", tmp_path / "file" / "x.yaml"):
        with pytest.raises(StoreError) as caught:
            document.save(path, "a: 1\n")
        assert (caught.value.code, caught.value.path) == ("STO023", str(path))
    assert list((tmp_path / "folder").iterdir()) == [tmp_path / "folder" / "x.yaml"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_written_list_is_flat_while_it_is_short() -> None:
    """One line for a few plain items, else one each, so that a diff points at the item."""
    text = document.write({"few": [1, 2], "many": list(range(40)), "deep": [[1]], "text": ["1e3"]})
    assert "few: [1, 2]\n" in text
    assert "many:\n  - 0\n  - 1\n" in text
    assert "deep:\n  - [1]\n" in text
    assert "text: ['1e3']\n" in text


def test_small_file_is_replaced_whole(tmp_path) -> None:
    """A text stands under its name complete, with the newlines it came with; no draft remains."""
    file = tmp_path / "models" / "flights.yaml"
    for text in ("old: 1\n", "new: é\r\n"):
        document.replace_file(file, text.encode())
        assert file.read_bytes() == text.encode()
    assert list(file.parent.iterdir()) == [file]


NESTED = """\
# A comment.
model:
  class: a.B
  params:
    steps:
      - tuple: [scale, 1]
      - tuple:
          - ridge
          - alpha: 1.0
key: [a, b]
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("model.class", 3),
        ("model.params.steps[1].tuple[1].alpha", 9),
        ("model.params.steps.0.tuple.0", 6),
        ("key.1", 10),
        ("model.params.depth", 4),
        ("model.params.steps[7]", 5),
        ("gate.threshold", None),
        ("", None),
    ],
)
def test_the_place_of_a_field(tmp_path, monkeypatch, field, line) -> None:
    """Its line, or that of what it would stand in; the file is named as it is typed here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "x.yaml"
    path.write_text(NESTED)
    expected = f"models/x.yaml:{line}" if line else "models/x.yaml"
    assert document.place(path, field) == document.place(Path("models/x.yaml"), field) == expected


@pytest.mark.parametrize("content", [None, b"a: [", b"\xff\xfe"])
def test_a_file_that_does_not_read_has_no_places(tmp_path, content) -> None:
    """Whoever asks has an error to tell already."""
    if content is not None:
        (tmp_path / "x.yaml").write_bytes(content)
    assert document.place(tmp_path / "x.yaml", "a") == ""
