"""Error codes: each in the catalogue, each in use, each of one family, each with one meaning."""

from __future__ import annotations

import ast
import collections
import re
from pathlib import Path

import mlkit
from mlkit import errors
from mlkit.codes import CODES
from mlkit.errors import MlkitError

FAMILIES = {
    "ConfigError": "CFG",
    "NamingError": "NAM",
    "UsageError": "CLI",
    "DataError": "DAT",
    "StoreError": "STO",
    "IntegrityError": "INT",
    "SecurityError": "SEC",
    "ServingError": "NET",
    "GateRejectedError": "GAT",
    "StudyError": "RUN",
}
CODE = re.compile(rf"({'|'.join(FAMILIES.values())})\d{{3}}")
PACKAGE = Path(mlkit.__file__).parent
GENERAL = frozenset({
    "CFG001", "CFG004", "CFG005", "CFG006", "CFG009", "CFG013", "CFG021", "CFG025", "CFG031", "CLI001",
    "CLI021", "DAT001", "DAT010", "DAT011", "DAT016", "DAT018", "DAT021", "DAT024", "DAT025", "DAT027",
    "DAT028", "DAT030", "DAT032", "DAT034", "DAT041", "DAT044", "DAT045", "DAT046", "DAT049", "DAT050",
    "INT060", "NAM002", "NAM003", "NAM006", "NAM010", "RUN016", "SEC003", "SEC004", "STO010", "STO021",
    "STO023", "STO037", "STO050", "DAT057", "RUN025", "CFG042", "CLI002", "CLI055",
})  # fmt: skip
"""Codes that several rooms raise, with one meaning."""


def written() -> list[tuple[Path, str]]:
    """File and code of every text of the package that is a code and no more."""
    texts = [
        (path, node.value)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [(path, text) for path, text in texts if CODE.fullmatch(text)]


def trees() -> list[tuple[Path, ast.Module]]:
    """Every file of the package but the catalogue."""
    files = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "codes.py")
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def raised() -> list[tuple[str, str, str]]:
    """Class, code and place of each error that is made with its code written out."""
    return [
        (node.func.id, node.args[0].value, f"{path.name}:{node.lineno}")
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and issubclass(getattr(errors, node.func.id, object), MlkitError)
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


def test_the_catalogue_is_complete() -> None:
    """`mlkit help CODE` knows every code that can be raised, and none that cannot."""
    found = {code: path.name for path, code in written()}
    assert len(found) > 100
    missing = {code: name for code, name in found.items() if code not in CODES}
    assert missing == {}
    assert sorted(CODES.keys() - found.keys()) == []


def test_an_entry_is_a_sentence_or_two() -> None:
    """Plain, ended with a period, short enough for a terminal, and never the same twice."""
    families = list(dict.fromkeys(code[:3] for code in CODES))
    assert list(CODES) == sorted(CODES, key=lambda code: (families.index(code[:3]), code))
    assert len(set(CODES.values())) == len(CODES)
    for code, meaning in CODES.items():
        assert CODE.fullmatch(code)
        assert re.fullmatch(r"[A-Z].{15,200}[.?]", meaning), code


def test_a_code_belongs_to_the_class_of_its_family() -> None:
    """The family decides the exit code, so an error of class and code of two families would lie."""
    found = raised()
    assert len(found) > 100
    wrong = []
    for name, code, place in found:
        kind = getattr(errors, name)
        family = next(FAMILIES[base.__name__] for base in kind.__mro__ if base.__name__ in FAMILIES)
        if not code.startswith(family):
            wrong.append(f"{place}: {name}({code})")
    assert wrong == []


def test_a_code_of_several_rooms_is_a_general_one() -> None:
    """Any other code means one thing in one room, so that no number is given away twice by accident."""
    rooms = collections.defaultdict(set)
    for path, code in written():
        rooms[code].add(path.relative_to(PACKAGE).parts[0])
    shared = {code for code, places in rooms.items() if len(places) > 1}
    assert shared <= GENERAL, f"add to GENERAL if it means the same everywhere: {shared - GENERAL}"
