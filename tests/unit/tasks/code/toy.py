"""A prompt of each kind, with answers to it."""

from gcsl_cli.tasks.code.extraction import Extracted, extract

IMPORTS = "import math\n\n\ndef one():\n    return 1\n\n\n"
HEADER = IMPORTS + 'def area(r):\n    """Of a circle."""\n'
BODY = "    return math.pi * r**2\n"
WHOLE = "def area(r):\n    return math.pi * r**2\n"
TASK = '"""\nWrite the area of a circle.\nassert area(0) == 0\n"""\n'


def body(completion: str) -> Extracted:
    return extract(HEADER, completion, "area")


def program(completion: str) -> Extracted:
    return extract(TASK, completion, "area")
