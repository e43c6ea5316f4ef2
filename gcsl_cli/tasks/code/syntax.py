r"""Analyze Python source that may be broken: where top-level statements start, and which helpers a program needs.

list(statements("def f():\n    return (\n1)\n# Done.\nprint(f())\n", 0)) == [0, 34, 45]
"""

import ast
import builtins
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise

# Longer text is not parsed, and completions are read only up to this length.
MAX_CHARACTERS = 100_000
# Maximum number of blocks after a solution to examine for helpers.
MAX_HELPERS = 32

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_HELPERS = (*DEFINITIONS, *_IMPORTS, ast.Assign, ast.AnnAssign)
_TOKENS = re.compile(
    r'''
      (?P<line> ^\f*(?=[^\s\#]) )
    | (?P<foreign> <\||</ )
    | (?P<joint> \\\r?\n )
    | (?P<opening> [(\[{] )
    | (?P<closing> [)\]}] )
    | \# (?: (?!<\|) [^\n] )*+
    | """ (?: [^"\\] | \\. | "(?!"") )*+ (?:""")?
    | \'\'\' (?: [^'\\] | \\. | '(?!'') )*+ (?:\'\'\')?
    | " (?: [^"\\\n] | \\(?:\r\n|.) )*+ "?
    | ' (?: [^'\\\n] | \\(?:\r\n|.) )*+ '?
    ''',
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_LINES = re.compile(r"(?P<line>^\f*(?=[^\s#]))|(?P<foreign><\|)", re.MULTILINE)


def parsed(text: str) -> ast.Module | None:
    """Parse a program; None if it is not valid Python, too long or too deeply nested."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def statements(text: str, start: int, *, lexed: bool = True) -> Iterator[int]:
    """Yield the offsets of statements at column 0, and finally the offset where the code ends.

    A statement starts at a line outside of brackets, strings and continued lines that is not a comment. A decorator
    belongs to the statement that it decorates. The code ends with the text or before `<|` or `</`, which do not occur
    in Python outside of strings. `text` includes what precedes `start`, the first offset to report, because a string
    may have begun there. Unless `lexed`, brackets and strings are ignored: every line at column 0 is a statement.
    """
    depth, joined, decorated = 0, -1, False
    for token in (_TOKENS if lexed else _LINES).finditer(text):
        match token.lastgroup:
            case "opening":
                depth += 1
            case "closing":
                depth = max(0, depth - 1)
            case "joint":
                joined = token.end()
            case "line" if depth == 0 and token.start() != joined:
                if token.start() >= start and not decorated:
                    yield token.start()
                decorated = text.startswith("@", token.end())
            case "foreign" if token.start() >= start:
                yield token.start()
                return
    yield len(text)


def with_helpers(tree: ast.Module, text: str, end: int, ends: Iterator[int]) -> int:
    """Return the end of a program extended by the following functions, classes, imports and assignments that it needs.

    `tree` and `end` are those of the program in `text` without helpers; `ends` are the ends of the blocks after it.
    """
    read, bound = _names(tree)
    read_so_far, bound_so_far = read, bound
    for begin, after in islice(pairwise(chain([end], ends)), MAX_HELPERS):
        block = parsed(text[begin:after]) if after <= MAX_CHARACTERS else None
        if block is None or not all(isinstance(node, _HELPERS) for node in block.body):
            break
        block_read, block_bound = _names(block)
        read_so_far, bound_so_far = read_so_far | block_read, bound_so_far | block_bound
        if any(_defined(node) & (read - bound) for node in block.body):
            end, read, bound = after, read_so_far, bound_so_far
    return end


def needed(text: str, others: Sequence[str]) -> list[int]:
    """Which of other texts a program needs because they define names that it reads; the first that defines one."""
    tree = parsed(text)
    if tree is None:
        return []
    read, bound = _names(tree)
    trees = {index: found for index, other in enumerate(others) if (found := parsed(other))}
    chosen: list[int] = []
    while True:
        missing = read - bound
        for index, other in trees.items():
            if index not in chosen and any(
                _defined(node) & missing for node in other.body if isinstance(node, _HELPERS)
            ):
                break
        else:
            return chosen
        chosen.append(index)
        other_read, other_bound = _names(other)
        read, bound = read | other_read, bound | other_bound


def _defined(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, _IMPORTS):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {name for name, is_read in _variables(node) if not is_read}


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that a program reads anywhere, and names that are built in or that it binds anywhere."""
    variables = set(_variables(tree))
    read = {name for name, is_read in variables if is_read}
    bound = {name for name, is_read in variables if not is_read}.union(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (*DEFINITIONS, *_IMPORTS)):
            bound |= _defined(node)
    return read, bound


def _variables(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Variables and their attributes (`area.cache`), and whether each occurrence is read."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=context):
                yield name, isinstance(context, ast.Load)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=context):
                yield f"{name}.{attribute}", isinstance(context, ast.Load)
