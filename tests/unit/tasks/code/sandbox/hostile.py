"""Programs that attack the sandbox or the grader, one attack each: `hostile_programs/*.txt`, a group a file.

    #### tcp
    import socket
    def solve(n):
        socket.create_connection(('1.1.1.1', 80), 1)
        return 'ESCAPED'

A test asks `solve(1)` for "ESCAPED", which a program answers when its attack succeeded, and `solve(2)` for a value that
only the tests know. So a passed test is a hole: in the walls by the first, in the verdict by the second.
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
# What the verdict may say of the programs of a group; of the other groups anything but "".
LIMITS = {
    "network": {"forbidden", "gaierror", "URLError"},
    "bomb": {"timeout", "memory", "processes", "disk", "open files", "forbidden", "syntax", "RecursionError", "crash"},
    "outliving": {"timeout", "exit", "ValueError", "processes"},
    "output": {"timeout", "output", "forbidden"},
}


def programs() -> dict[str, str]:
    """Code by "group: name"."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for section in path.read_text(encoding="utf-8").split("#### ")[1:]:
            name, _, code = section.partition("\n")
            found[f"{path.stem}: {name}"] = code
    return found
