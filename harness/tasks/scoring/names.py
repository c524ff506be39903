"""Names in Python source, read by its own parser: which ones tests need, which ones an answer has."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator, Sequence

BUILTINS = frozenset(dir(builtins))
#: What the parser raises for source that is no program: bad syntax, NUL characters, nesting without end.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def needed_names(tests: Sequence[str], around: Sequence[str] = (), reference: str | None = None) -> list[str]:
    """The names that `tests` expect an answer to define. Raises ValueError for a test that is no Python.

    `around` are imports and set-up that stand beside the tests; `reference` is the dataset's own solution, which says
    what is the answer's even where a function is called like a builtin.
    """
    whole = "\n".join([*around, *tests])
    try:
        free = free_names(whole)
        called = [_called(ast.parse(test)) for test in tests]
    except UNREADABLE as error:
        raise ValueError(f"its tests are no Python ({error})") from error
    by_reference = free & set(bound_names(reference or ""))
    if by_reference:
        return sorted(by_reference)
    own = free - BUILTINS
    if own:
        # A module that a test uses without importing it is read, never called.
        return sorted({name for names in called for name in names} & own or own)
    # Only builtins are called, so the function is called like one: the one that no test goes without.
    everywhere = set.intersection(*called) if called else set()
    return sorted(everywhere) if len(everywhere) == 1 else []


def free_names(source: str) -> set[str]:
    """Names that `source` reads and does not bind itself."""
    top = symtable.symtable(source, "tests", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read = {
        symbol.get_name()
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and symbol.is_global()
    }
    return read - bound


def bound_names(source: str) -> list[str]:
    """Names that `source` binds at its top level, however it does; none where it does not parse."""
    try:
        top = symtable.symtable(source, "answer", "exec")
    except UNREADABLE:
        return []
    return [symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()]


def functions_for(source: str, name: str, tests: Sequence[str]) -> list[str]:
    """Top-level functions of `source`, in order, that can be called with the arguments that `tests` give to `name`."""
    try:
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except UNREADABLE:
        return []
    calls = [
        node
        for test in tests
        for node in ast.walk(ast.parse(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]
    return [function.name for function in functions if all(_takes(function.args, call) for call in calls)]


def _takes(expected: ast.arguments, call: ast.Call) -> bool:
    if any(isinstance(value, ast.Starred) for value in call.args):
        return True  # how many that is, only a run shows
    positional = [*expected.posonlyargs, *expected.args]
    if len(call.args) > len(positional) and expected.vararg is None:
        return False
    given = {keyword.arg for keyword in call.keywords}
    known = {argument.arg for argument in (*expected.args, *expected.kwonlyargs)}
    if not given - {None} <= known and expected.kwarg is None:
        return False
    required = positional[len(call.args) : len(positional) - len(expected.defaults)]
    return None in given or all(argument.arg in given for argument in required)


def _called(tree: ast.AST) -> set[str]:
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
