#!/bin/sh
# Measure the startup time: sh scripts/bench_startup.sh [BIN]   (BIN: bin folder of the environment, default .venv/bin)
# Prints the median time in seconds over 9 interleaved runs of `gcsl --help`, `trl --help` and `gcsl train --cfg job`.
bin=${1:-.venv/bin}
exec "$bin/python" - "$bin" <<'PYTHON'
import statistics, subprocess, sys, time

commands = {name: [f"{sys.argv[1]}/{name.split()[0]}", *name.split()[1:]] for name in ("gcsl --help", "trl --help", "gcsl train --cfg job")}
seconds = {name: [] for name in commands}
for _ in range(9):
    for name, command in commands.items():
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds[name].append(time.perf_counter() - started)
medians = {name: statistics.median(times) for name, times in seconds.items()}
for name, median in medians.items():
    print(f"{name:22s} {median:.2f} s")
print(f"gcsl --help / trl --help: {medians['gcsl --help'] / medians['trl --help']:.2f}")
PYTHON
