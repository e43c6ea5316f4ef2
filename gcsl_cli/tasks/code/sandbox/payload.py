"""How an interpreter in a sandbox gets its code: over its standard input, so that nothing has to be mounted for it."""

import marshal
from pathlib import Path

PACKAGE = "gcsl_cli.tasks.code.sandbox"
MODULES = ("codec", "candidate", "splitting", "host", "together")
NEEDED = {
    "candidate": ("codec", "candidate"),
    "host": ("codec", "candidate", "splitting", "host"),
    "together": ("codec", "candidate", "splitting", "together"),
}
# Sizes in eight digits, because nothing that could read better ones is loaded yet.
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
    """The modules that run inside, as texts."""
    folder = Path(__file__).parent
    return {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}


def payload(texts: dict[str, str], role: str, *, same_interpreter: bool = True) -> bytes:
    """What the interpreter that was started with `BOOT` reads first.

    Args:
        texts: what `sources` gives.
        role: "candidate", "host" or "together".
        same_interpreter: whether it is of this very version, which then need not compile.
    """
    named = [(f"{PACKAGE}.{name}", texts[name]) for name in NEEDED[role]]
    main = f"{PACKAGE}.{role}"
    if same_interpreter:
        compiled = [(name, compile(text, name, "exec", dont_inherit=True, optimize=0)) for name, text in named]
        return _sized(_MARSHALLED.format(main=main).encode(), marshal.dumps(compiled))
    import json

    return _sized(_SOURCES.format(main=main).encode(), json.dumps(named).encode())


def _sized(*parts: bytes) -> bytes:
    return b"".join(b"%08d%b" % (len(part), part) for part in parts)
