"""Names in Python source, found by its own parser: those that tests need, and those that an answer defines."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator, Sequence

BUILTINS = frozenset(dir(builtins))
#: Errors of the parser for invalid source: bad syntax, NUL characters, too deep nesting.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def needed_names(tests: Sequence[str], around: Sequence[str] = (), reference: str | None = None) -> list[str]:
    """The names that `tests` expect an answer to define. Raises ValueError for a test that is not Python.

    `around` are the imports and set-up beside the tests. `reference` is the dataset's own solution: it identifies the
    answer's names even if a function is named like a builtin.
    """
    whole = "\n".join([*around, *tests])
    try:
        free = free_names(whole)
        called = [_called(ast.parse(test)) for test in tests]
    except UNREADABLE as error:
        raise ValueError(f"its tests are not Python ({error})") from error
    by_reference = free & set(bound_names(reference or ""))
    if by_reference:
        return sorted(by_reference)
    own = free - BUILTINS
    if own:
        # A module that a test uses without an import is read, but never called.
        return sorted({name for names in called for name in names} & own or own)
    # Only builtins are called, so the function is named like one: the one that every test calls.
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
    """Names that `source` binds at its top level, by any statement; none if it does not parse."""
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
        return True  # their number is known at run time only
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
