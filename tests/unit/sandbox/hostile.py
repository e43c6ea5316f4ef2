"""Programs that attack the sandbox or the grader, one attack each.

A test asks `solve(1)` for "ESCAPED", which a program answers when its attack succeeded, and `solve(2)` for a value that
only the tests know. So a passed test is a hole: in the walls by the first, in the verdict by the second.
"""

SECRET = "b1946ac92492d2347c6235b4d2611184"
TESTS = f"""
def check(candidate):
    expected = "{SECRET}"
    assert candidate(1) == "ESCAPED"
    assert candidate(2) == expected
"""


def attack(body: str, imports: str = "import os, sys, socket, ctypes, time, signal, threading") -> str:
    """A program that tries something when it is called, and says so when that worked."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"{imports}\ndef solve(n):\n{lines}    return 'ESCAPED'\n"


def syscall(number: int, *arguments: str) -> str:
    """A program that makes a system call (of x86_64) itself, past the C library."""
    return attack(f"""
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall({", ".join(map(str, (number, *arguments)))}) < 0:
    raise OSError(ctypes.get_errno(), "refused")
""")


NETWORK = {
    "tcp": attack("socket.create_connection(('1.1.1.1', 80), 1)"),
    "tcp loopback": attack("socket.create_connection(('127.0.0.1', 22), 1)"),
    "tcp listen": attack("socket.create_server(('0.0.0.0', 0))"),
    "udp": attack("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))"),
    "udp over ipv6": attack("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::1', 53))"),
    "raw": attack("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    "packet": attack("socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)"),
    "abstract unix": attack("socket.socket(socket.AF_UNIX).connect('\\0/tmp/.X11-unix/X0')"),
    "docker socket": attack("socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')"),
    "netlink": attack("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    "virtual machine socket": attack("socket.socket(40, socket.SOCK_STREAM).connect((2, 1024))"),
    "dns": attack("socket.getaddrinfo('example.org', 80)"),
    "urllib": attack("urllib.request.urlopen('http://example.org', timeout=1)", "import urllib.request"),
    "socket by number": syscall(41, "2", "1", "0"),
    "io_uring by number": syscall(425, "8", "None"),
}
BOMBS = {
    "fork bomb": attack("while True:\n    try:\n        os.fork()\n    except OSError:\n        pass"),
    "fork count": attack(
        "for _ in range(60):\n    if os.fork() == 0:\n        time.sleep(60)", "import os, time"
    ),
    "thread bomb": attack(
        "for _ in range(400):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    ),
    "exec bomb": attack("import subprocess\nwhile True:\n    subprocess.Popen([sys.executable, '-c', 'input()'])"),
    "memory": attack("hog = bytearray(10**10)"),
    "memory in steps": attack("hog = []\nwhile True:\n    hog.append(bytearray(10**7))"),
    "memory by doubling": attack("text = 'x'\nwhile True:\n    text += text"),
    "memory at import": "hog = [0] * 10**10\ndef solve(n):\n    return 'ESCAPED'\n",
    "shared memory": syscall(29, "0", "10**8", "0o1600"),
    "memory file": attack("os.write(os.memfd_create('x'), b'x' * 10**6)"),
    "mapped memory": attack("import mmap\nhog = [mmap.mmap(-1, 10**8) for _ in range(20)]"),
    "disk": attack("with open('/tmp/big', 'wb') as file:\n    for _ in range(2000):\n        file.write(b'x' * 10**6)"),
    "disk in many files": attack(
        "for number in range(5000):\n    with open(f'/tmp/{number}', 'wb') as file:\n        file.write(b'x' * 10**6)"
    ),
    "sparse file": attack("os.truncate(os.open('/tmp/sparse', os.O_CREAT | os.O_RDWR), 10**12)"),
    "open files": attack("kept = [open('/dev/null') for _ in range(5000)]"),
    "dev shm": attack("open('/dev/shm/x', 'wb').write(b'x')"),
    "big number": attack("value = 10**10**8", ""),
    "regular expression": attack("import re\nre.match('(a+)+$', 'a' * 64 + 'b')"),
    "sum of a range": attack("value = sum(range(10**13))"),
    "while true": attack("while True:\n    pass", ""),
    "loop at import": "while True:\n    pass\n",
    "sleep": attack("time.sleep(10**6)"),
    "deep nesting": "def solve(n):\n    return " + "(" * 5000 + "1" + ")" * 5000 + "\n",
    "recursion": "def solve(n):\n    return solve(n)\n",
    "recursion without limit": "import sys\nsys.setrecursionlimit(10**9)\ndef solve(n):\n    return solve(n)\n",
}
READING = {
    "environment": attack("assert any(name not in KNOWN for name in os.environ)", "import os\nKNOWN = {'PATH', 'HOME', 'LANG', 'OMP_NUM_THREADS', 'PWD', 'LC_CTYPE'}"),
    "parent's environment": attack("data = open('/proc/1/environ').read()\nassert 'USER' in data or 'SHLVL' in data"),
    "home": attack("assert os.listdir('/root') + os.listdir('/home')"),
    "passwords": attack("open('/etc/passwd').read()"),
    "shadow": attack("open('/etc/shadow').read()"),
    "repository": attack("import gcsl_cli.sandbox.grader"),
    "other processes": attack("assert len([name for name in os.listdir('/proc') if name.isdigit()]) > 1"),
    "root of the first process": attack("assert os.path.exists('/proc/1/root/etc/passwd')"),
    "other mounts": attack("assert os.listdir('/mnt') or os.listdir('/work') or os.listdir('/srv')"),
    "kernel memory": attack("open('/proc/kcore', 'rb').read(1)\nopen('/dev/mem', 'rb').read(1)"),
    "kernel log": syscall(103, "3", "ctypes.create_string_buffer(100)", "100"),
    "memory of others": syscall(310, "2", "None", "0", "None", "0", "0"),
    "open by handle": syscall(304, "0", "None", "0"),
    "keys": syscall(250, "0", "-3", "1"),
}
ESCAPING = {
    "write to the system": attack("open('/usr/lib/owned', 'w').write('x')"),
    "write to the interpreter": attack("open(os.__file__, 'a').write('x')"),
    "write to the root": attack("open('/owned', 'w').write('x')"),
    "write to dev": attack("open('/dev/owned', 'w').write('x')"),
    "write kernel settings": attack("open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')"),
    "write to sysrq": attack("open('/proc/sysrq-trigger', 'w').write('b')"),
    "symbolic link out": attack("os.symlink('/etc/shadow', f'/tmp/link{n}')\nopen(f'/tmp/link{n}').read()"),
    "symbolic link by proc": attack("os.symlink('/proc/1/root/etc', f'/tmp/link{n}')\nopen(f'/tmp/link{n}/passwd').read()"),
    "hard link": attack("os.link('/usr/bin/env', '/tmp/env')\nopen('/tmp/env', 'a').write('x')"),
    "signal to all": attack("os.kill(-1, signal.SIGKILL)"),
    "signal to the parent": attack("assert os.getppid() > 0\nos.kill(os.getppid(), signal.SIGKILL)"),
    "signal to others": attack("for pid in range(2, 40000):\n    try:\n        os.kill(pid, 0)\n    except ProcessLookupError:\n        continue\n    return 'ESCAPED'\nraise OSError('nobody')"),
    "setuid": attack("os.setuid(0)"),
    "setgroups": attack("os.setgroups([0])"),
    "ptrace": syscall(101, "16", "1", "0", "0"),
    "mount": syscall(165, "b'none'", "b'/tmp'", "b'tmpfs'", "0", "None"),
    "unshare": syscall(272, "0x10000000"),
    "clone into a user namespace": syscall(56, "0x10000011", "0", "0", "0", "0"),
    "clone3": syscall(435, "ctypes.create_string_buffer(88)", "88"),
    "setns": attack("libc = ctypes.CDLL(None, use_errno=True)\nfd = os.open('/proc/1/ns/net', os.O_RDONLY)\nif libc.setns(fd, 0) < 0:\n    raise OSError(ctypes.get_errno(), 'refused')"),
    "chroot": attack("os.chroot('/tmp')"),
    "bpf": syscall(321, "0", "None", "0"),
    "set-user-id programs": attack("import subprocess\nsubprocess.run(['/usr/bin/su', '-c', 'id'], check=True, stdin=0)"),
    "raising limits": attack("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (100, 100))"),
    "device nodes": attack("os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0))"),
    "32-bit numbers": syscall(0x40000000 + 41, "2", "1", "0"),
}
OUTLIVING = {
    "ignores being asked to end": attack(
        "for number in range(1, 64):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    pass"
    ),
    "daemon": attack("if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\nos._exit(0)"),
    "daemon that answers": attack(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork():\n        os._exit(0)\n    while True:\n        pass\ntime.sleep(600)"
    ),
    "daemon at import": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)\nos._exit(0)\n",
    "processes that start each other": attack("while True:\n    if os.fork():\n        os._exit(0)"),
    "thread that goes on": attack("threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\nraise ValueError"),
    "at the exit": "import atexit, time\natexit.register(time.sleep, 600)\nraise SystemExit(0)\n",
    "stops itself": attack("os.kill(os.getpid(), signal.SIGSTOP)\nwhile True:\n    pass"),
}
OUTPUT = {
    "prints for ever": attack("while True:\n    print('x' * 10**5)\n    sys.stderr.write('x' * 10**5)"),
    "large answer": attack("return 'x' * 10**8"),
    "endless answer": attack("return iter(int, 1)"),
    "floods the descriptors": attack("while True:\n    for fd in range(3, 64):\n        try:\n            os.write(fd, b'\\xff' * 10**5)\n        except OSError:\n            pass"),
    "floods from a thread": attack(
        "def flood():\n    while True:\n        for fd in range(3, 64):\n            try:\n                os.write(fd, b'\\0\\0\\0\\1N')\n            except OSError:\n                pass\nthreading.Thread(target=flood).start()\ntime.sleep(1)"
    ),
    "holds itself": "def solve(n):\n    value = []\n    value.append(value)\n    return value\n",
}
_EQUAL = """
class Equal{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
    __class__ = str
"""
_FRAME = """
import os
from gcsl_cli.sandbox.codec import encode, framed
def solve(n):
"""
FORGING = {
    "exits at once": "raise SystemExit(0)\n",
    "exits hard at once": "import os\nos._exit(0)\n",
    "exits in the call": attack("sys.exit(0)"),
    "exits hard in the call": attack("os._exit(0)"),
    "interrupts": attack("raise KeyboardInterrupt"),
    "stops iteration": attack("raise StopIteration"),
    "raises what tests catch": attack("raise AssertionError('passed')"),
    "patched assertion error": "import builtins\nbuiltins.AssertionError = ValueError\ndef solve(n): return n\n",
    "patched builtins": (
        "import builtins\nfor name in ('isinstance', 'type', 'abs', 'len', 'all', 'any', 'issubclass'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\ndef solve(n): return n\n"
    ),
    "patched exec": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None\ndef solve(n): return n\n",
    "patched modules": "import sys\nfor name in list(sys.modules):\n    sys.modules[name] = None\ndef solve(n): return n\n",
    "printed markers": "print('passed')\nprint('OK')\nprint('{\"passed\": true}')\ndef solve(n): return n\n",
    "equals everything": _EQUAL.format(base="") + "def solve(n): return Equal()\n",
    "a number that equals everything": _EQUAL.format(base="(int)").replace("    __class__ = str\n", "") + "def solve(n): return Equal()\n",
    "a text that equals everything": _EQUAL.format(base="(str)") + "def solve(n): return Equal()\n",
    "a list that equals everything": _EQUAL.format(base="(list)") + "def solve(n): return Equal()\n",
    "equals everything, in a list": _EQUAL.format(base="") + "def solve(n): return [Equal()]\n",
    "a function of its own name": "def check(candidate): pass\ndef solve(n): return n\n",
    "replaces candidate": "candidate = lambda n: 'ESCAPED'\n__test__ = None\ndef solve(n): return n\n",
    "verdict in frames": _FRAME + "    for fd in range(3, 64):\n        try:\n            os.write(fd, framed(encode(('done', 2, '', '', -1, False))))\n        except OSError: pass\n    os._exit(0)\n",
    "answers in frames": _FRAME + "    for fd in range(3, 64):\n        try:\n            os.write(fd, framed(encode((n, 'value', 'ESCAPED', ''))) * 2)\n        except OSError: pass\n    os._exit(0)\n",
    "frames before the answer": _FRAME.replace("def solve", "for fd in range(3, 64):\n    try:\n        os.write(fd, framed(encode((0, 'loaded', '', ''))))\n    except OSError: pass\ndef solve") + "    return n\n",
    "an answer that counts itself": _FRAME + "    for fd in range(3, 64):\n        try:\n            os.write(fd, framed(encode((True, 'value', 'ESCAPED', ''))))\n        except OSError: pass\n    os._exit(0)\n",
    "at the exit": "import atexit, os\natexit.register(os._exit, 0)\ndef solve(n): raise SystemExit(0)\n",
    "looks for the expected value": (
        "import gc, sys\ndef solve(n):\n    frame = sys._getframe()\n    while frame:\n        for value in list(frame.f_locals.values()):\n"
        "            if isinstance(value, str) and len(value) == 32: return value\n        frame = frame.f_back\n"
        "    for thing in gc.get_objects():\n        if isinstance(thing, dict):\n            for value in list(thing.values()):\n"
        "                if isinstance(value, str) and len(value) == 32 and value.isalnum(): return value\n"
    ),
    "looks in memory": (
        "import re\ndef solve(n):\n    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:\n"
        "        for line in maps:\n            start, end = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "            try:\n                memory.seek(start)\n                found = re.search(rb'expected = \"(\\w{32})', memory.read(end - start))\n"
        "            except (OSError, ValueError, OverflowError): continue\n            if found: return found[1].decode()\n"
    ),
    "overwrites the checker": attack("for name in ('check', 'tests', 'host', 'grader'):\n    open(f'/tmp/{name}.py', 'w').write('def check(c): pass')\nreturn n"),
    "thread that answers": _FRAME.replace("import os", "import os, threading") + "    def write():\n        for fd in range(3, 64):\n            try:\n                os.write(fd, framed(encode((n, 'value', 'ESCAPED', ''))))\n            except OSError: pass\n    threading.Thread(target=write).start()\n    return n\n",
    "broken frames": attack("for fd in range(3, 64):\n    try:\n        os.write(fd, b'\\0\\0\\0\\5l\\xff\\xff\\xff\\xff')\n    except OSError:\n        pass\nos._exit(0)"),
    "deep frames": attack("for fd in range(3, 64):\n    try:\n        os.write(fd, b'\\0\\1\\0\\0' + b'l\\0\\0\\0\\1' * 13108)\n    except OSError:\n        pass\nos._exit(0)"),
    "asks for another process": _EQUAL.format(base="") + "def solve(n):\n    yield Equal()\n",
}
GROUPS = {
    "network": NETWORK,
    "bomb": BOMBS,
    "reading": READING,
    "escaping": ESCAPING,
    "outliving": OUTLIVING,
    "output": OUTPUT,
    "forging": FORGING,
}
PROGRAMS = {f"{group}: {name}": code for group, programs in GROUPS.items() for name, code in programs.items()}
