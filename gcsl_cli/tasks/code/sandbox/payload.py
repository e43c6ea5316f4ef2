"""Code for the interpreters in sandboxes, sent over standard input so that it need not be mounted."""

import marshal
from pathlib import Path

PACKAGE = "gcsl_cli.tasks.code.sandbox"
MODULES = {
    "candidate": ("codec", "candidate"),
    "tester": ("codec", "candidate", "suite", "session", "tester"),
    "together": ("codec", "candidate", "suite", "together"),
}
"""Modules that the process of each role needs, in import order."""

# Sizes are sent as eight digits, because nothing that could decode a better format is loaded yet.
BOOT = (
    "from posix import read, _exit\n"
    "def take(n,p=b''):\n"
    " while len(p)<n:p+=read(0,n-len(p))or _exit(0)\n"
    " return p\n"
    "import sys\n"
    "exec(take(int(take(8))))\n"
)
_START = """
def start(items, main):
    module = type(sys)
    for name in ("gcsl_cli", "gcsl_cli.tasks", "gcsl_cli.tasks.code", "gcsl_cli.tasks.code.sandbox"):
        sys.modules[name] = module(name)
    for name, code in items:
        sys.modules[name] = module(name)
        exec(code, sys.modules[name].__dict__)
    sys.modules[main].main()
"""
_MARSHALLED = _START + "import marshal\nstart(marshal.loads(take(int(take(8)))), {main!r})\n"
_SOURCES = _START + "import json\nstart(json.loads(take(int(take(8)))), {main!r})\n"


def sources() -> dict[str, str]:
    """Source text of all modules that run in sandboxes, by name."""
    folder = Path(__file__).parent
    names = {name for modules in MODULES.values() for name in modules}
    return {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in names}


def payload(texts: dict[str, str], role: str, *, same_interpreter: bool = True) -> bytes:
    """Build the bytes that an interpreter started with `BOOT` reads first, from `sources` and a role of `MODULES`.

    Only the `same_interpreter`, an interpreter of this Python version, can be sent compiled code.
    """
    named = [(f"{PACKAGE}.{name}", texts[name]) for name in MODULES[role]]
    main = f"{PACKAGE}.{role}"
    if same_interpreter:
        compiled = [(name, compile(text, name, "exec", dont_inherit=True, optimize=0)) for name, text in named]
        return _sized(_MARSHALLED.format(main=main).encode(), marshal.dumps(compiled))
    import json

    return _sized(_SOURCES.format(main=main).encode(), json.dumps(named).encode())


def _sized(*parts: bytes) -> bytes:
    return b"".join(b"%08d%b" % (len(part), part) for part in parts)
