"""Wheels: the same bytes from the same content, installable, and closed to paths that lead elsewhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import code
from mlkit.errors import ConfigError, MlkitError, SecurityError, StoreError
from mlkit.research.wheel import content_version, write_wheel

OUR_ROOT = str(Path(code.__file__).parents[1])
FILES = {
    "flights/__init__.py": b"",
    "flights/run.py": b"import json\n\ndef main():\n    print(json.dumps({'done': 7}))\n",
    "flights/wörter, more.json": b"{}",
    "flight_delay.py": b"def prepare(rows):\n    return rows\n",
}
ENTRY_POINTS = {
    "mlkit.configs": {"flight_delay": "flight_delay:prepare", "a": "flights"},
    "console_scripts": {"flights-run": "flights.run:main"},
}
FIELDS = {
    "name": "Flight.Delay",
    "version": "1.0+d0123ab",
    "requires": ("numpy==2.1.0", "pandas>=2.2; python_version >= '3.11'"),
    "requires_python": ">=3.11",
    "summary": "Models of mlkit, für Flüge",
}


def build(folder: Path, **changes: object) -> Path:
    """The example wheel with some fields changed."""
    return write_wheel(folder, **{**FIELDS, "files": FILES, "entry_points": ENTRY_POINTS, **changes})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the example wheel."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("no pip in this environment")
    folder = tmp_path_factory.mktemp("installed")
    target = folder / "target"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "install",
        "--no-compile",
    ]
    offline = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--target", str(target)]
    subprocess.run([*pip, *offline, str(build(folder))], check=True, timeout=120)
    return target


def run(folder: Path, program: str) -> str:
    """Output of a program in a fresh interpreter that sees the folder first."""
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {OUR_ROOT!r}]\n{program}"
    done = subprocess.run([sys.executable, "-B", "-c", program], check=True, capture_output=True, timeout=60)
    return done.stdout.decode().strip()


def test_pip_installs_it_and_its_entry_point_runs(installed: Path) -> None:
    """Found by group and name in the metadata, as a job finds it."""
    program = (
        "from importlib.metadata import entry_points\n"
        "(entry,) = entry_points(group='console_scripts', name='flights-run')\n"
        "entry.load()()\n"
    )
    assert run(installed, program) == '{"done": 7}'
    assert (installed / "bin").is_dir() or (installed / "Scripts").is_dir()


def test_metadata_is_what_was_said(installed: Path) -> None:
    """Name, version with its local label, requirements and entry points arrive."""
    program = (
        "import importlib.metadata as m\n"
        "d = m.distribution('flight-delay')\n"
        "print(ascii((d.metadata['Name'], d.version, d.requires, d.metadata['Requires-Python'])))\n"
        "print(sorted(e.name for e in d.entry_points.select(group='mlkit.configs')))\n"
    )
    fields = (FIELDS["name"], FIELDS["version"], list(FIELDS["requires"]), FIELDS["requires_python"])
    assert run(installed, program).splitlines() == [ascii(fields), "['a', 'flight_delay']"]


def test_installed_code_counts_as_the_users(installed: Path) -> None:
    """In production the same files give the same digest as they did in research."""
    program = (
        "from mlkit import code\n"
        "files = code.user_files(['flights.run:main', 'flight_delay:prepare'])\n"
        "print(ascii(sorted(files)), code.is_user_module('flights'), code.code_digest(files))\n"
    )
    before = run_in_research(installed.parent / "research", program)
    assert run(installed, program) == before
    assert before.startswith(ascii(sorted(FILES)))


def run_in_research(folder: Path, program: str) -> str:
    """The same program over plain files, before they were put into a wheel."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return run(folder, program)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the day, the folder and the order in which things were named."""
    backwards = {group: dict(reversed(ENTRY_POINTS[group].items())) for group in reversed(ENTRY_POINTS)}
    first = build(tmp_path / "a")
    os.utime(first, (1, 1))
    again = build(tmp_path / "b", files=dict(reversed(FILES.items())), entry_points=backwards)
    assert first.read_bytes() == again.read_bytes()
    assert build(tmp_path / "a") == first


@pytest.mark.parametrize("platform", [sys.platform, "win32"])
def test_the_bytes_are_fixed_for_ever(tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another platform or release that writes other bytes would break the comparison of wheels."""
    monkeypatch.setattr(sys, "platform", platform)  # zipfile marks archives with it
    content = write_wheel(tmp_path, name="a", version="1.0", files={"a.py": b"x = 1\n"}).read_bytes()
    expected = "415704a8481bfd12466f53274f4533a4728632951a8cfd37577008b3345bccef"
    assert hashlib.sha256(content).hexdigest() == expected


def test_entries_are_sorted_and_plain(tmp_path: Path) -> None:
    """Nothing of this machine stands in the archive: no time, owner, or compression."""
    with zipfile.ZipFile(build(tmp_path)) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    found = {(e.date_time, e.create_system, e.external_attr >> 16, e.compress_type, e.extra) for e in entries}
    assert found == {((1980, 1, 1, 0, 0, 0), 3, 0o100644, zipfile.ZIP_STORED, b"")}


def test_record_lists_every_file_with_its_digest(tmp_path: Path) -> None:
    """So that a runner can verify its own files; the record itself has no digest."""
    with zipfile.ZipFile(build(tmp_path)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    record = "flight_delay-1.0+d0123ab.dist-info/RECORD"
    rows = list(csv.reader(io.StringIO(contents[record].decode())))
    assert rows.pop() == [record, "", ""]
    assert {path for path, _, _ in rows} == set(contents) - {record}
    for path, digest, size in rows:
        expected = base64.urlsafe_b64encode(hashlib.sha256(contents[path]).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={expected}", len(contents[path]))


def test_empty_fields_are_left_out(tmp_path: Path) -> None:
    """The smallest wheel has three files of metadata and three fields."""
    with zipfile.ZipFile(write_wheel(tmp_path, name="a", version="1.0", files={})) as archive:
        info = "a-1.0.dist-info"
        assert archive.namelist() == [f"{info}/METADATA", f"{info}/RECORD", f"{info}/WHEEL"]
        metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
    assert metadata.items() == [("Metadata-Version", "2.1"), ("Name", "a"), ("Version", "1.0")]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("Flight.Delay", "1.0+d0123ab", "flight_delay-1.0+d0123ab"),
        ("flight--delay_X", "1.0.0-RC1", "flight_delay_x-1.0.0rc1"),
        ("a", "v1!2.post3+Ubuntu-1", "a-1!2.post3+ubuntu.1"),
    ],
)
def test_file_names_are_normalised(tmp_path: Path, name: str, version: str, expected: str) -> None:
    """Installers read name and version from the file name, so it has one spelling."""
    path = build(tmp_path, name=name, version=version)
    assert path == tmp_path / f"{expected}-py3-none-any.whl"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a.py",
        "../a.py",
        "a/../b.py",
        "a//b.py",
        "./a.py",
        "a/",
        "a\\b.py",
        "C:/a.py",
        "c:a.py",
        "a\n.py",
        "a\0b",
        "flight_delay-1.0.dist-info/RECORD",
        "x.dist-info/METADATA",
        "x.data/scripts/a",
        "start.pth",
        "sitecustomize.py",
        ".. /a.py",
        "\ud800.py",
        "X.PTH",
        "usercustomize/__init__.py",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    """Neither out of the import root nor to files that installers or Python act upon; nothing is written."""
    with pytest.raises(SecurityError, match="SEC006"):
        build(tmp_path, files={**FILES, path: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "a\n"},
        {"version": "1.0-beta-x"},
        {"version": ""},
        {"version": "1.0+ü"},
        {"requires": ["numpy = 2"]},
        {"requires": ["numpy\nRequires-Dist: evil"]},
        {"requires_python": "3.11"},
        {"requires_python": ">=3.11\nName: b"},
        {"summary": "two\nlines"},
        {"entry_points": {"a]\n[b": {"x": "m:f"}}},
        {"entry_points": {"g": {"x = y": "m:f"}}},
        {"entry_points": {"g": {"x": "m:f\n[other]"}}},
        {"entry_points": {"g": {"x": "m:f()"}}},
    ],
)
def test_malformed_metadata_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    """No field can smuggle another one in."""
    with pytest.raises(ConfigError, match="CFG009") as caught:
        build(tmp_path, **changes)
    assert caught.value.path
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_made_and_holds_nothing_else(tmp_path: Path) -> None:
    """No temporary file stays behind, not even where another wheel is replaced."""
    folder = tmp_path / "deep" / "dist"
    path = build(folder)
    path.write_bytes(b"half a wheel")
    assert build(folder) == path
    assert zipfile.is_zipfile(path)
    assert list(folder.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "dist").touch()
    with pytest.raises(StoreError, match="STO041"):
        build(tmp_path / "dist")
    (tmp_path / "flight_delay-1.0+d0123ab-py3-none-any.whl").mkdir()
    with pytest.raises(StoreError, match="STO041"):
        build(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@settings(deadline=None, max_examples=60)
@given(
    name=st.text("abC._-", min_size=1, max_size=8),
    files=st.dictionaries(st.text("ab./\\\n", max_size=6), st.binary(max_size=9), max_size=3),
    summary=st.text(max_size=9),
)
def test_any_input_is_written_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, files: dict[str, bytes], summary: str
) -> None:
    """What is accepted comes back from the archive unchanged."""
    try:
        path = write_wheel(
            tmp_path_factory.getbasetemp(), name=name, version="1.0", files=files, summary=summary
        )
    except MlkitError:
        return
    with zipfile.ZipFile(path) as archive:
        kept = {entry: archive.read(entry) for entry in archive.namelist() if ".dist-info/" not in entry}
        (metadata,) = (entry for entry in archive.namelist() if entry.endswith("/METADATA"))
        assert len(BytesParser().parsebytes(archive.read(metadata)).keys()) == 3 + bool(summary)
    assert kept == files


def test_version_names_the_content() -> None:
    """Valid as a local version, equal for equal content, other for any other name or byte."""
    version = content_version(FILES)
    assert version.startswith("1.0+d")
    assert len(version) == len("1.0+d") + 12
    assert content_version(dict(reversed(FILES.items()))) == version
    assert (
        len({version, content_version({}), content_version({"a": b""}), content_version({"a": b"\0"})}) == 4
    )


def test_the_version_stays_itself_in_the_file_name(tmp_path: Path) -> None:
    """No rule of normalisation changes it, so that a job definition can name the file."""
    version = content_version(FILES)
    assert build(tmp_path, version=version).name == f"flight_delay-{version}-py3-none-any.whl"
