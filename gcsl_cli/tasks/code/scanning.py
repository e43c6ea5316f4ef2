r"""Where statements begin at column 0 in text that may be broken code, or only begin as code.

list(statements("def f():\n    return (\n1)\n# Done.\nprint(f())\n")) == [0, 34, 45]
"""

import re
from collections.abc import Iterator

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


def statements(text: str, start: int, *, lexed: bool = True) -> Iterator[int]:
    """Offsets from `start` on of lines that begin a statement at column 0, and the end of the code.

    Such a line begins outside of brackets, strings and joined lines and is not a comment; a decorator and what it
    decorates are one. The code ends with the text or before `<|` or `</`, which no code has outside of strings.

    Args:
        text: with what goes before `start`, where a string may have begun.
        start: the first offset that counts.
        lexed: False looks at no brackets and strings: every line at column 0 counts.
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
