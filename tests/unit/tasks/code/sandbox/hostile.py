"""Programs that attack the sandbox or the grader, one attack each; `hostile_programs/*.txt` has one group per file.

    #### tcp
    import socket
    def solve(n):
        socket.create_connection(('1.1.1.1', 80), 1)
        return 'ESCAPED'

The first test expects `solve(1)` to return "ESCAPED", which a program does if its attack succeeded. The second expects
`solve(2)` to return a value that only the tests know. A passed test therefore reveals a hole: the first one in the
sandbox, the second one in the grader.
"""

from pathlib import Path

SECRET = "b1946ac92492d2347c6235b4d2611184"
TESTS = f"""
def check(candidate):
    expected = "{SECRET}"
    assert candidate(1) == "ESCAPED"
    assert candidate(2) == expected
"""
FOLDER = Path(__file__).with_name("hostile_programs")
# Errors allowed in the verdicts of a group; the other groups may have any error but "".
LIMITS = {
    "network": {"forbidden", "gaierror", "URLError"},
    "bomb": {"timeout", "memory", "processes", "disk", "open files", "forbidden", "syntax", "RecursionError", "crash"},
    "outliving": {"timeout", "exit", "ValueError", "processes"},
    "output": {"timeout", "output", "forbidden"},
}


def programs() -> dict[str, str]:
    """Code of all programs by "group: name"."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for section in path.read_text(encoding="utf-8").split("#### ")[1:]:
            name, _, code = section.partition("\n")
            found[f"{path.stem}: {name}"] = code
    return found
