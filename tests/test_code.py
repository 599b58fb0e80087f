"""The user's own code: named, found, carried elsewhere and identified."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import code
from mlkit.errors import ConfigError, SecurityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Write = Callable[..., Path]

GIT = shutil.which("git")
NEEDS_GIT = pytest.mark.skipif(GIT is None, reason="no git on this machine")
CONTENTS = st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=20), max_size=4)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder at the front of the import path; its modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(root: Path) -> Write:
    """Writes a text file of the project, with its folders."""

    def write_file(name: str, text: str = "") -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def refused(expected: str, action: Callable[[], object]) -> ConfigError:
    """The `ConfigError` of an action, which must carry the expected code."""
    with pytest.raises(ConfigError) as caught:
        action()
    assert caught.value.code == expected
    assert caught.value.fix
    return caught.value


# Names -> objects


def test_loads_what_a_reference_names(write: Write) -> None:
    """Modules in packages and names inside classes are reached."""
    write("flights/__init__.py")
    write("flights/clean.py", "class Steps:\n    class Inner:\n        size = 3\n")
    assert code.load_object("flights.clean:Steps.Inner.size") == 3
    assert code.load_object("collections:OrderedDict") is OrderedDict


@pytest.mark.parametrize(
    "reference", ["", "flights", "flights.prepare", "a:b:c", ":b", "a:", "a..b:c", "../a:b", "a b:c"]
)
def test_only_the_colon_form_is_a_reference(reference: str) -> None:
    """Anything else is refused before any import."""
    refused("CFG022", lambda: code.load_object(reference))


@pytest.mark.parametrize("reference", ["not_there:f", "not_there.at_all:f", "flights.not_there:f"])
def test_a_missing_module_is_named(write: Write, reference: str) -> None:
    """Whether the package or only the module in it is missing, the user learns where to look."""
    write("flights/__init__.py")
    error = refused("CFG023", lambda: code.load_object(reference))
    assert "not_there" in error.message
    assert "src/" in error.fix


def test_a_missing_dependency_is_told_from_a_missing_module(write: Write) -> None:
    """The user's module was found: what is missing is what it imports."""
    write("flights.py", "import library_that_is_away")
    error = refused("CFG023", lambda: code.load_object("flights:prepare"))
    assert "was found" in error.message
    assert "library_that_is_away" in error.fix


@pytest.mark.parametrize("text", ["from math import square_circle", "def broken(:\n"])
def test_a_module_that_does_not_import_says_why(write: Write, text: str) -> None:
    """A wrong name and wrong syntax keep the words of Python."""
    write("flights.py", text)
    error = refused("CFG023", lambda: code.load_object("flights:prepare"))
    assert "was found" in error.message
    assert "square_circle" in error.message or "line 1" in error.message


def test_a_misspelt_name_gets_the_nearest(write: Write) -> None:
    """The fix names what stands in the module."""
    write("flights.py", "def prepare(): ...")
    error = refused("CFG024", lambda: code.load_object("flights:prepaer"))
    assert "'prepare'" in error.fix
    refused("CFG024", lambda: code.load_object("flights:prepare.inner"))


# Objects -> names


@pytest.mark.parametrize("obj", [OrderedDict, json.JSONDecoder.decode, math.sqrt, len, np.log1p, np.mean])
def test_reference_and_object_agree(obj: object) -> None:
    """Classes, functions, builtins and ufuncs are found again under their reference."""
    assert code.load_object(code.reference_of(obj)) is obj


def test_a_user_function_is_referable(write: Write) -> None:
    """The usual case: a function at the top of a module."""
    write("flights.py", "def prepare(rows): return rows")
    assert code.reference_of(code.load_object("flights:prepare")) == "flights:prepare"


def unreferable() -> dict[str, object]:
    """Objects that no other process can import."""

    def nested() -> None: ...

    def of_notebook() -> None: ...

    of_notebook.__module__, of_notebook.__qualname__ = "__main__", "of_notebook"
    hidden = type("OrderedDict", (), {"__module__": "collections", "__qualname__": "OrderedDict"})
    return {
        "lambda": lambda rows: rows,
        "function": nested,
        "notebook": of_notebook,
        "partial": functools.partial(math.pow, 2),
        "bound": json.JSONDecoder().decode,
        "without a name": object(),
        "another object": hidden,
        "does not import": type("Gone", (), {"__module__": "not_there", "__qualname__": "Gone"}),
    }


@pytest.mark.parametrize("cause", unreferable())
def test_what_cannot_be_imported_elsewhere_is_refused(cause: str) -> None:
    """Each refusal says its reason and where to put the function instead."""
    error = refused("CFG025", lambda: code.reference_of(unreferable()[cause]))
    assert cause in error.message
    assert "module" in error.fix


# Whose code


def test_user_modules_are_told_from_all_others(write: Write) -> None:
    """Standard, built-in, installed, missing modules and mlkit itself are not the user's."""
    write("flights.py")
    assert code.is_user_module("flights")
    for name in (
        "json",
        "sys",
        "math",
        "numpy",
        "numpy.linalg",
        "mlkit",
        "mlkit.code",
        "__main__",
        "not_there",
    ):
        assert not code.is_user_module(name), name


def test_asking_about_a_submodule_imports_nothing(write: Write) -> None:
    """The top-level package decides, and it is not run."""
    write("explosive/__init__.py", "raise RuntimeError")
    assert code.is_user_module("explosive.part")
    assert "explosive" not in sys.modules


def test_a_folder_without_init_is_no_user_module(write: Write) -> None:
    """Otherwise `models` and `data` in the working directory would be modules."""
    write("models/flights.yaml")
    assert not code.is_user_module("models")


def test_a_module_made_by_hand_is_no_user_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no file that could travel."""
    monkeypatch.setitem(sys.modules, "made_by_hand", type(sys)("made_by_hand"))
    assert not code.is_user_module("made_by_hand")
    refused("CFG023", lambda: code.user_files(["made_by_hand:f"]))


@pytest.mark.parametrize(
    ("entry_points", "ours"), [("[console_scripts]\n", False), ("[mlkit.configs]\n", True)]
)
def test_installed_code_is_the_users_only_from_a_handoff(write: Write, entry_points: str, ours: bool) -> None:
    """The metadata decides, also in a folder that is not called site-packages."""
    write("flights/__init__.py")
    write("other.py")
    write("flights-1.0.dist-info/RECORD", "flights/__init__.py,,\n")
    write("flights-1.0.dist-info/entry_points.txt", entry_points)
    assert code.is_user_module("flights") is ours
    assert code.is_user_module("other")


def test_site_packages_are_not_the_users(write: Write, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that some installer left without metadata is nevertheless installed."""
    write("site-packages/left_over.py")
    monkeypatch.syspath_prepend(str(root / "site-packages"))
    assert not code.is_user_module("left_over")


# Files


@pytest.fixture
def project(write: Write, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two import roots, a package with relative imports and data, and code that nobody refers to."""
    write(
        "flight_delay.py",
        "import numpy\nfrom flights.clean import scaled\ndef prepare(x): return scaled(x)\n",
    )
    write("flights/__init__.py")
    write(
        "flights/clean.py",
        "from .units import factor\nfrom . import units\ndef scaled(x): return x * factor()\n",
    )
    write("flights/units.py", "def factor():\n    from constants import FACTOR\n    return FACTOR\n")
    write("flights/deep/__init__.py", "from ..units import factor\nimport flights.clean\n")
    write("flights/deep/limits.json", "{}")
    write("flights/tests/test_clean.py", "import pytest\n")
    write("flights/.secret.json", "{}")
    write("flights/.cache/x.py")
    write("flights/__pycache__/x.py")
    write("flights/key.pem")
    write("flights/big.csv", "x" * (code.MAX_DATA_BYTES + 1))
    write("src/constants.py", "import flight_delay\nFACTOR = 2\n")
    write("unrelated.py", "import nothing_at_all")
    monkeypatch.syspath_prepend(str(root / "src"))
    return root


CLOSURE = [
    "constants.py",
    "flight_delay.py",
    "flights/__init__.py",
    "flights/clean.py",
    "flights/deep/__init__.py",
    "flights/deep/limits.json",
    "flights/tests/test_clean.py",
    "flights/units.py",
]


def test_files_are_the_closure_over_imports(project: Path) -> None:
    """Packages travel whole, modules alone, cycles end, and imports in functions count."""
    files = code.user_files(["flight_delay:prepare", "numpy:log1p", "math:sqrt", "json:loads"])
    assert list(files) == CLOSURE
    assert files["constants.py"] == project / "src" / "constants.py"


def test_the_files_are_all_that_is_needed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Copied to an empty folder, they import and run in an isolated interpreter."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, path in code.user_files(["flight_delay:prepare"]).items():
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, elsewhere / name)
    program = (
        f"import sys; sys.path.insert(0, {str(elsewhere)!r}); import flight_delay as f; print(f.prepare(21))"
    )
    command = [sys.executable, "-I", "-B", "-c", program]
    assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.strip() == b"42"


def test_third_party_modules_of_the_files(project: Path) -> None:
    """Neither the user's own nor standard ones; relative imports and missing ones included rightly."""
    files = code.user_files(["flight_delay:prepare"])
    assert code.third_party(files) == ["numpy", "pytest"]
    assert code.third_party({"unrelated.py": project / "unrelated.py"}) == ["nothing_at_all"]


def test_a_name_of_the_standard_library_is_refused(write: Write) -> None:
    """Elsewhere the standard module would be imported in its place."""
    write("statistics.py", "def prepare(): ...")
    write("flights.py", "import statistics")
    for reference in ("statistics:prepare", "flights:prepare"):
        assert refused("CFG026", functools.partial(code.user_files, [reference])).path == "statistics"


def test_code_in_a_folder_without_init_is_refused(write: Write) -> None:
    """It imports here, but would be missed where it is needed."""
    write("bare/steps.py")
    write("flights.py", "import bare.steps")
    for reference in ("bare.steps:f", "flights:prepare"):
        error = refused("CFG028", functools.partial(code.user_files, [reference]))
        assert error.fix.endswith("bare/__init__.py")


def test_a_folder_of_data_is_no_code(write: Write) -> None:
    """An import may share its name with a folder of the project that holds no Python."""
    write("bare/notes.txt")
    write("flights.py", "import bare")
    assert list(code.user_files(["flights:prepare"])) == ["flights.py"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("x", "CFG022"), ("not_there:f", "CFG023"), ("__main__:f", "CFG025"), ("bad:f", "CFG023")],
)
def test_references_without_readable_files_are_refused(write: Write, reference: str, expected: str) -> None:
    """Nothing is left out silently, and a file that is no Python is named."""
    write("bad.py", "def f(:\n")
    refused(expected, lambda: code.user_files([reference]))


@pytest.mark.parametrize(
    "content", [b"x = '\\d'\n", b"\xef\xbb\xbfimport numpy\n", b"# coding: latin-1\nx = '\xe9'\n"]
)
def test_odd_but_valid_sources_are_read(root: Path, content: bytes) -> None:
    """Doubtful escapes raise no warning here; marks and declared encodings are honoured."""
    (root / "odd.py").write_bytes(content)
    assert list(code.user_files(["odd:x"])) == ["odd.py"]


# Identity


@settings(deadline=None)
@given(CONTENTS, CONTENTS)
def test_only_equal_contents_have_equal_digests(left: dict[str, bytes], right: dict[str, bytes]) -> None:
    """No two ways to cut bytes into paths and files collide; order does not count."""
    assert (code.content_digest(left) == code.content_digest(right)) == (left == right)
    assert code.content_digest(dict(reversed(left.items()))) == code.content_digest(left)


def test_digest_ignores_line_ends_of_text_and_nothing_else(root: Path) -> None:
    """A Windows checkout agrees; binary data, other bytes, names and lone returns count."""

    def digest(content: bytes, name: str = "a.py") -> str:
        (root / "file").write_bytes(content)
        return code.code_digest({name: root / "file"})

    assert digest(b"x = 1\r\ny = 2\r\n") == digest(b"x = 1\ny = 2\n")
    assert digest(b"\0\r\n") != digest(b"\0\n")
    variants = [digest(b"ab\n"), digest(b"ac\n"), digest(b"ab"), digest(b"ab\r"), digest(b"ab\n", "b.py")]
    assert len(set(variants)) == len(variants)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40).filter(lambda content: b"\r" not in content), st.data())
def test_any_changed_byte_changes_the_digest(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    """One flipped byte anywhere in a file is another code."""
    path = tmp_path_factory.getbasetemp() / "flipped.bin"
    path.write_bytes(content)
    before = code.code_digest({"f": path})
    at = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :])
    assert code.code_digest({"f": path}) != before


def test_digest_is_fixed_for_ever(root: Path) -> None:
    """Recorded digests must stay comparable between releases."""
    (root / "a.py").write_bytes(b"x = 1\n")
    expected = "7476c3f323442212338388eb76a2b2c2c44af2cc88050cce683aa504f8d71a91"
    assert code.code_digest({"a.py": root / "a.py"}) == expected


def test_pins_name_the_installed_distributions() -> None:
    """By distribution, not by module; normalised, sorted, once each; unknown modules are skipped."""
    version = importlib.metadata.version
    expected = [f"numpy=={version('numpy')}", f"pytest=={version('pytest')}", f"pyyaml=={version('pyyaml')}"]
    assert code.pinned(["yaml", "pytest", "_pytest", "numpy", "not_there", "json"]) == expected


# Git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, untouched by the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "repository"
    for name in ("flights.py", "src/units.py", "models/flights.yaml", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Output of one git command."""
    done = subprocess.run(
        [str(GIT), "-C", str(folder), *arguments], check=True, capture_output=True, timeout=60
    )
    return done.stdout.decode().strip()


def commit(folder: Path) -> None:
    """Commit everything."""
    git(folder, "add", "--all", "--force")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message=m")


@NEEDS_GIT
def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    """From any folder of the repository."""
    head = git(repository, "rev-parse", "HEAD")
    assert code.git_state(repository) == code.GitState(head, ())
    assert code.git_state(repository / "src") == code.GitState(head, ())


@NEEDS_GIT
def test_changed_files_and_new_modules_are_dirty(repository: Path) -> None:
    """Changed, staged, deleted and renamed files count, of untracked ones only Python."""
    (repository / "flights.py").write_text("2\n", encoding="utf-8")
    (repository / "src" / "units.py").unlink()
    git(repository, "mv", "notes.txt", "été  1.txt")
    (repository / "new folder").mkdir()
    (repository / "new folder" / "new\nmodule.py").touch()
    (repository / "data.csv").touch()
    expected = ("flights.py", "new folder/new\nmodule.py", "notes.txt", "src/units.py", "été  1.txt")
    assert code.git_state(repository).dirty == expected
    assert code.git_state(repository / "src").dirty == expected


@NEEDS_GIT
def test_what_mlkit_writes_is_not_dirty(repository: Path) -> None:
    """Configs that are just being frozen and the local store do not count; the caller may say more."""
    (repository / "models" / "flights.yaml").write_text("2\n", encoding="utf-8")
    for name in ("models/x.py", ".mlkit/x.py", "src/.mlkit/deep/x.py", "src/models/x.py"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    assert code.git_state(repository).dirty == ("src/models/x.py",)
    assert code.git_state(repository, exclude=("models", "src")).dirty == ()
    assert code.git_state(repository / "src").dirty == ("models/flights.yaml", "models/x.py")
    assert "models/flights.yaml" in code.git_state(repository, exclude=()).dirty


@NEEDS_GIT
def test_a_conflict_is_dirty(repository: Path) -> None:
    """A file that is half merged is no commit's."""
    git(repository, "checkout", "--quiet", "-b", "other")
    for text, branch in (("2\n", "-"), ("3\n", "other")):
        (repository / "flights.py").write_text(text, encoding="utf-8")
        commit(repository)
        git(repository, "checkout", "--quiet", branch)
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "-c", "user.name=t", "-c", "user.email=t@t", "merge", "--quiet", "-")
    assert code.git_state(repository).dirty == ("flights.py",)


@NEEDS_GIT
def test_without_commit_or_repository(repository: Path, tmp_path: Path) -> None:
    """A fresh repository has files but no commit; a plain or missing folder has neither."""
    shutil.rmtree(repository / ".git")
    assert code.git_state(repository) == code.GitState(None, ())
    assert code.git_state(tmp_path / "missing") == code.GitState(None, ())
    git(repository, "init", "--quiet")
    assert code.git_state(repository) == code.GitState(None, ("flights.py", "src/units.py"))


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git is as good as a folder without repository."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code.git_state(tmp_path) == code.GitState(None, ())


@NEEDS_GIT
def test_the_repository_runs_no_program_and_keeps_no_lock(repository: Path, tmp_path: Path) -> None:
    """A status of foreign code must not run that code, nor write to the index."""
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n", encoding="utf-8")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    os.utime(repository / "flights.py", (1, 1))
    index = (repository / ".git" / "index").read_bytes()
    assert code.git_state(repository).dirty == ()
    assert not (tmp_path / "ran").exists()
    assert (repository / ".git" / "index").read_bytes() == index


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script in place of git")
def test_a_git_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is not the same as a clean tree."""
    (tmp_path / "git").write_text(
        f"#!/bin/sh\nexec '{shutil.which('tail')}' -f /dev/null\n", encoding="utf-8"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(code, "GIT_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(StoreError, match="STO040"):
        code.git_state(tmp_path)


def test_a_config_may_not_call_the_standard_library() -> None:
    """`shutil:rmtree` is an importable function of a dataframe, and not one that a config may name."""
    with pytest.raises(SecurityError, match="SEC004"):
        code.load_function("shutil:rmtree")
    assert code.load_function("numpy:mean") is not None


@pytest.mark.parametrize("reference", ["mlkit.code:os.abort", "mlkit.code:sys.exit", "my_reexport:system"])
def test_a_config_reaches_no_library_through_another_module(reference, tmp_path, monkeypatch) -> None:
    """Neither a dot in the name nor a re-export leads to what a reviewer does not see."""
    (tmp_path / "my_reexport.py").write_text("from os import system\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SecurityError, match="SEC004"):
        code.load_function(reference)
