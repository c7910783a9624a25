"""Break one thing at a time in the scorer and run its tests.

    python tools/mutants.py --sample 200 --seed 1

Each mutant is one changed operator, comparison or number in one module; the module's own tests are run
against it, in a fork of a process that has imported the libraries. Mutants that no test notices are printed
with their line: either a test is missing or the change means nothing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each module with the tests that are about it; running all for each mutant would take days.
TESTS = {
    "scorer/exact.py": ["test_exact"],
    "scorer/reading/ids.py": ["test_ids"],
    "scorer/reading/cells.py": ["test_submission", "test_columnar", "test_mask_metrics", "test_challenge"],
    "scorer/reading/columnar.py": ["test_columnar", "test_two_readers"],
    "scorer/reading/tables.py": ["test_tables", "test_submission"],
    "scorer/reading/packing.py": ["test_tables", "test_submission"],
    "scorer/reading/parquet.py": ["test_tables", "test_columnar"],
    "scorer/challenges/task.py": ["test_task"],
    "scorer/challenges/solution.py": ["test_task", "test_challenge", "test_prepared"],
    "scorer/challenges/solution_reader.py": ["test_task", "test_challenge", "test_prepared"],
    "scorer/challenges/solution_checks.py": ["test_task", "test_challenge", "test_prepared"],
    "scorer/submission/reader.py": ["test_submission", "test_two_readers"],
    "scorer/submission/rows.py": ["test_submission", "test_two_readers"],
    "scorer/submission/ids.py": ["test_submission", "test_two_readers"],
    "scorer/scoring.py": ["test_task", "test_two_readers", "test_scoring"],
    "scorer/challenges/prepared.py": ["test_prepared"],
    "scorer/metrics/classification.py": ["test_classification_metrics", "test_metrics"],
    "scorer/metrics/precision_recall.py": ["test_classification_metrics", "test_metrics"],
    "scorer/metrics/agreement.py": ["test_classification_metrics", "test_metrics"],
    "scorer/metrics/costs.py": ["test_classification_metrics", "test_metrics"],
    "scorer/metrics/probability.py": ["test_classification_metrics", "test_metrics"],
    "scorer/metrics/regression.py": ["test_regression_metrics", "test_metrics"],
    "scorer/metrics/ranking.py": ["test_ranking_metrics", "test_metrics"],
}

# The plugins were imported before pytest could rewrite their asserts, which would end the run.
_QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, what was changed, the whole text) of every mutant."""
    places = [
        (i, node)
        for i, node in enumerate(ast.walk(ast.parse(source)))
        if _change(node) is not None and not _is_annotation(node)
    ]
    for i, node in places:
        tree = ast.parse(source)
        own = list(ast.walk(tree))[i]
        words = _change(own, apply=True)
        assert words is not None
        yield getattr(node, "lineno", 0), words, ast.unparse(tree)


def _is_annotation(node: ast.AST) -> bool:
    # `int | None` is an expression like any other, and changing it means nothing.
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)


def _change(node: ast.AST, *, apply: bool = False) -> str | None:
    """Return the change of this node; with `apply` make it."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in _SWAPS:
        before, operator = ast.unparse(node), _SWAPS[type(node.op)]()
        if apply:
            node.op = operator  # type: ignore[assignment]
        return f"{before[:60]} -> {type(operator).__name__}"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        before, operator = ast.unparse(node), _SWAPS[type(node.ops[0])]()
        if apply:
            node.ops[0] = operator  # type: ignore[assignment]
        return f"{before[:60]} -> {type(operator).__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        before = ast.unparse(node)
        if apply:
            node.op = ast.UAdd()
            node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
            ast.fix_missing_locations(node)
        return f"{before[:60]} -> without not"
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        before = ast.unparse(node)
        if apply:
            node.value += 1
        return f"{before} -> {before} + 1"
    return None


def survives(module: str, text: str, home: Path, seconds: int) -> bool:
    """Return whether the tests pass with this text in its place.

    A run that takes too long counts as noticed.
    """
    tree = Path(tempfile.mkdtemp(dir=home))
    for part in ("scorer", "tests"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    (tree / module).write_text(text, encoding="utf-8")
    tests = [f"tests/scorer/{name}.py" for name in TESTS[module]]
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            signal.alarm(seconds)
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                import pytest

                code = int(pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *_QUIET, *tests]))
        os._exit(code)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(tree, ignore_errors=True)
    return status == 0


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--sample", type=int, default=200, help="mutants to try, drawn from all")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--modules", nargs="+", default=list(TESTS), choices=list(TESTS))
    arguments.add_argument("--seconds", type=int, default=120, help="limit of one run")
    given = arguments.parse_args()
    # Imported once, and inherited by every fork; the scorer itself must come from the mutant's tree.
    import hypothesis
    import pandas as pd
    import pyarrow.csv
    import sklearn.metrics

    del hypothesis, pd, pyarrow, sklearn
    every = [
        (module, *mutant)
        for module in given.modules
        for mutant in mutants((ROOT / module).read_text("utf-8"))
    ]
    drawn = random.Random(given.seed).sample(every, min(given.sample, len(every)))
    for module in given.modules:
        with tempfile.TemporaryDirectory() as home:
            if not survives(module, (ROOT / module).read_text("utf-8"), Path(home), given.seconds):
                sys.exit(f"{module}: its tests fail without any change")
    alive = []
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(survives, m, text, Path(home), given.seconds) for m, _, _, text in drawn]
        for (module, line, words, _), run in zip(drawn, runs, strict=True):
            if run.result():
                alive.append(module)
                print(f"survived  {module}:{line}  {words}", flush=True)
    print(
        f"\n{len(drawn)} of {len(every)} mutants tried, {len(alive)} survived ({len(alive) / len(drawn):.0%})"
    )
    for module in given.modules:
        tried = sum(m == module for m, *_ in drawn)
        print(f"  {module}: {alive.count(module)} of {tried}")


if __name__ == "__main__":
    main()
