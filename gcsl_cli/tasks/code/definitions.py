"""Names that a program needs and the helpers after it that define them."""

import ast
import builtins
import warnings
from collections.abc import Iterator
from itertools import chain, islice, pairwise

# Characters; longer text is not parsed, and of a completion no more is read.
LONGEST = 100_000
# Blocks after a solution that are looked at.
HELPERS = 32

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_KINDS = (*_FUNCTIONS, *_IMPORTS, ast.Assign, ast.AnnAssign)


def parsed(text: str) -> ast.Module | None:
    """The tree of a program; None where it is none, or is too long or too deeply nested."""
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def with_helpers(tree: ast.Module, text: str, end: int, ends: Iterator[int]) -> int:
    """The end of a program with the functions, classes, imports and assignments after it that it needs.

    Args:
        tree: of the program without them.
        text: with the program and what follows it.
        end: of the program without them.
        ends: of the blocks after it.
    """
    read, given = _names(tree)
    read_so_far, given_so_far = read, given
    for begin, after in islice(pairwise(chain([end], ends)), HELPERS):
        block = parsed(text[begin:after]) if after <= LONGEST else None
        if block is None or not all(isinstance(node, _KINDS) for node in block.body):
            break
        more_read, more_given = _names(block)
        read_so_far, given_so_far = read_so_far | more_read, given_so_far | more_given
        if any(_defined(node) & (read - given) for node in block.body):
            end, read, given = after, read_so_far, given_so_far
    return end


def _defined(node: ast.stmt) -> set[str]:
    """Names that a statement at column 0 gives a value."""
    if isinstance(node, _FUNCTIONS):
        return {node.name}
    if isinstance(node, _IMPORTS):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {name for name, is_read in _variables(node) if not is_read}


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that are read somewhere in a program, and those that are builtins or get a value somewhere in it."""
    variables = set(_variables(tree))
    read = {name for name, is_read in variables if is_read}
    given = {name for name, is_read in variables if not is_read}.union(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            given.add(node.arg)
        elif isinstance(node, (*_FUNCTIONS, *_IMPORTS)):
            given |= _defined(node)
    return read, given


def _variables(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Variables and their attributes (`area.cache`), and whether they are read there."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=context):
                yield name, isinstance(context, ast.Load)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=context):
                yield f"{name}.{attribute}", isinstance(context, ast.Load)
