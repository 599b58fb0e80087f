"""Holds the package to the budgets of its design: sizes, cycles, forbidden words, start-up time.

Run from anywhere: ``python tests/checks/budgets.py [root]``. Exits 1 and names every place that is
over budget. What counts as a line: a physical line with code on it. Blank lines, comments and
docstrings are free, so that nobody saves on explanation. The size of a function is that of its body,
without signature and docstring; a body that is only ``...`` states a contract and is not counted.
"""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import io
import math
import subprocess
import sys
import time
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "mlkit"

MODULE_LINES_P50 = 150
MODULE_LINES_MAX = 400
FUNCTION_LINES_P50 = 8
FUNCTION_LINES_P90 = 25
FUNCTION_LINES_MAX = 50
TEST_RATIO_MIN = 1.0
TEST_RATIO_MAX = 1.5
IMPORT_BUDGET_MS = 100.0
IMPORT_RUNS = 7

BROAD = {"BaseException", "BaseExceptionGroup", "Exception", "ExceptionGroup"}
HEAVY = {
    "databricks",
    "deltalake",
    "mlflow",
    "numpy",
    "optuna",
    "pandas",
    "pandera",
    "plotly",
    "polars",
    "pyarrow",
    "pydantic",
    "pyspark",
    "scipy",
    "skops",
    "sklearn",
}

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclasses.dataclass(frozen=True)
class Source:
    """One parsed file: where it is, its syntax tree and the numbers of its lines of code."""

    path: Path
    tree: ast.Module
    code_lines: frozenset[int]


def main(root: Path) -> int:
    """Check every budget; print the figures and what is over them; 0 if all is well, else 1."""
    package = [read_source(path) for path in sorted((root / PACKAGE).rglob("*.py"))]
    tests = [read_source(path) for path in test_files(root)]
    complaints = [
        *check_modules(package, root),
        *check_functions(package, root),
        *check_words(package, root),
        *check_cycles(package, root),
        *check_ratio(package, tests),
        *check_import(root),
    ]
    for complaint in complaints:
        print(f"OVER BUDGET  {complaint}")
    return 1 if complaints else 0


def test_files(root: Path) -> list[Path]:
    """The files that test the package: all under tests/ but these checks and the benchmarks."""
    tests = root / "tests"
    others = (tests / "checks", tests / "benchmarks")
    return sorted(path for path in tests.rglob("*.py") if not any(map(path.is_relative_to, others)))


def read_source(path: Path) -> Source:
    """Parse a file and find its lines of code."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(path))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {
        line
        for token in tokens
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return Source(path, tree, frozenset(lines - docstring_lines(tree)))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Numbers of the lines that docstrings take, those of attributes included."""
    docstrings = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return {line for node in docstrings for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def check_modules(package: list[Source], root: Path) -> Iterator[str]:
    """Lines of code by module: the median and the longest."""
    sizes = {place(source, root): len(source.code_lines) for source in package if source.code_lines}
    median = percentile(sizes.values(), 50)
    print(f"modules      {len(sizes)}: p50 {median}, max {max(sizes.values(), default=0)} lines of code")
    if median > MODULE_LINES_P50:
        yield f"median module: {median} lines, at most {MODULE_LINES_P50}"
    for name, size in sizes.items():
        if size > MODULE_LINES_MAX:
            yield f"{name}: {size} lines, at most {MODULE_LINES_MAX}"


def check_functions(package: list[Source], root: Path) -> Iterator[str]:
    """Lines of code by function body: median, 90th percentile and the longest."""
    sizes = {
        f"{place(source, root)}:{node.lineno} {node.name}": body_lines(node, source)
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and not is_contract(node)
    }
    median, high = percentile(sizes.values(), 50), percentile(sizes.values(), 90)
    longest = max(sizes.values(), default=0)
    print(f"functions    {len(sizes)}: p50 {median}, p90 {high}, max {longest} lines of code")
    if median > FUNCTION_LINES_P50:
        yield f"median function: {median} lines, at most {FUNCTION_LINES_P50}"
    if high > FUNCTION_LINES_P90:
        yield f"90th percentile of functions: {high} lines, at most {FUNCTION_LINES_P90}"
    for name, size in sizes.items():
        if size > FUNCTION_LINES_MAX:
            yield f"{name}: {size} lines, at most {FUNCTION_LINES_MAX}"


def is_contract(node: Function) -> bool:
    """Whether the body is only ``...``, as in a protocol or an overload."""
    last = node.body[-1]
    literal = last.value if isinstance(last, ast.Expr) else None
    return isinstance(literal, ast.Constant) and literal.value is ...


def body_lines(node: Function, source: Source) -> int:
    """Lines of code in a function's body."""
    first = node.body[0].lineno
    return sum(first <= line <= (node.end_lineno or first) for line in source.code_lines)


def check_words(package: list[Source], root: Path) -> Iterator[str]:
    """No broad ``except``, no ``print``, no ``assert``."""
    for source in package:
        for node in ast.walk(source.tree):
            fault = forbidden_word(node)
            if fault:
                yield f"{place(source, root)}:{getattr(node, 'lineno', 0)}: {fault}"


def forbidden_word(node: ast.AST) -> str:
    """What is wrong with a node, or nothing."""
    match node:
        case ast.Assert():
            return "assert (python -O drops it; raise an error of mlkit.errors)"
        case ast.ExceptHandler(type=None):
            return "bare except"
        case ast.ExceptHandler(type=ast.expr() as caught) if BROAD & names_in(caught):
            return "broad except (name what can go wrong)"
        case ast.Call(func=ast.Name(id="print")):
            return "print (results are returned, notices go through the console)"
        case ast.Call(func=called, args=caught) if "suppress" in names_in(called) and BROAD & names_in(
            *caught
        ):
            return "broad suppress (name what can go wrong)"
        case _:
            return ""


def names_in(*nodes: ast.AST) -> set[str]:
    """Every name and attribute that stands in some nodes."""
    inside = [node for top in nodes for node in ast.walk(top)]
    names = {node.id for node in inside if isinstance(node, ast.Name)}
    return names | {node.attr for node in inside if isinstance(node, ast.Attribute)}


def check_cycles(package: list[Source], root: Path) -> Iterator[str]:
    """No module reaches itself through imports, those inside functions included."""
    modules = {module_name(source.path, root): source for source in package}
    graph = {name: imports_of(source, name, modules) - {name} for name, source in modules.items()}
    print(f"imports      {sum(map(len, graph.values()))} between modules")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as exc:
        yield f"import cycle: {' -> '.join(exc.args[1])}"


def imports_of(source: Source, name: str, modules: Iterable[str]) -> set[str]:
    """Modules of the package that a module imports when it runs (not for type checkers only)."""
    package = name if source.path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in runtime_nodes(source.tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names}
            found.update(inside & set(modules) or {base})
    return found & set(modules)


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but not what stands under ``if TYPE_CHECKING:``."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in names_in(node.test):
        children = node.orelse
    for child in children:
        yield from runtime_nodes(child)


def check_ratio(package: list[Source], tests: list[Source]) -> Iterator[str]:
    """Lines of test code by line of package code."""
    code = sum(len(source.code_lines) for source in package)
    tested = sum(len(source.code_lines) for source in tests)
    ratio = tested / max(code, 1)
    print(f"test : code  {tested} : {code} = {ratio:.2f}")
    if not TEST_RATIO_MIN <= ratio <= TEST_RATIO_MAX:
        yield f"test : code is {ratio:.2f}, wanted {TEST_RATIO_MIN} to {TEST_RATIO_MAX}"


def check_import(root: Path) -> Iterator[str]:
    """What ``import mlkit`` costs on top of a bare interpreter, and what it drags in."""
    loaded = run_python(root, f"import {PACKAGE}, sys; print(*sys.modules)").split()
    heavy = sorted(HEAVY.intersection(loaded))
    if heavy:
        yield f"import {PACKAGE} loads {', '.join(heavy)}"
    runs = [(seconds(root, "pass"), seconds(root, f"import {PACKAGE}")) for _ in range(IMPORT_RUNS)]
    cost_ms = 1000 * (min(full for _, full in runs) - min(bare for bare, _ in runs))
    print(f"import       {cost_ms:.0f} ms over a bare interpreter, {len(loaded)} modules in all")
    if cost_ms > IMPORT_BUDGET_MS:
        yield f"import {PACKAGE} takes {cost_ms:.0f} ms, at most {IMPORT_BUDGET_MS:.0f}"


def seconds(root: Path, code: str) -> float:
    """Wall time of a fresh interpreter that runs some code."""
    start = time.perf_counter()
    run_python(root, code)
    return time.perf_counter() - start


def run_python(root: Path, code: str) -> str:
    """Standard output of a fresh interpreter that runs some code in the root folder."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def module_name(path: Path, root: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(source: Source, root: Path) -> str:
    """The file as a reader looks it up."""
    return source.path.relative_to(root).as_posix()


def percentile(values: Iterable[int], percent: int) -> int:
    """The nearest-rank percentile; 0 of nothing."""
    ranked = sorted(values)
    return ranked[math.ceil(len(ranked) * percent / 100) - 1] if ranked else 0


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[2]
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else here))
