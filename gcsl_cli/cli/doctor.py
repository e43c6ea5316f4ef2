"""`gcsl doctor`: installed versions, hardware, folders, the sandbox and optional packages."""

import importlib.util
import os
import platform
import shutil
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli import __version__

if TYPE_CHECKING:
    from rich.table import Table

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "hydra-core",
    "omegaconf",
    "typer",
    "pyarrow",
    "alt-profanity-check",
)
# feature, module, how to install it
OPTIONAL = (
    ("parallel runs (hydra/launcher=joblib)", "hydra_plugins.hydra_joblib_launcher", 'pip install "gcsl-cli[joblib]"'),
    (
        "jobs on Slurm (hydra/launcher=submitit_slurm)",
        "hydra_plugins.hydra_submitit_launcher",
        'pip install "gcsl-cli[slurm]"',
    ),
    ("jobs on Ray (hydra/launcher=ray)", "hydra_plugins.hydra_ray_launcher", 'pip install "gcsl-cli[ray]"'),
    ("search (hydra/sweeper=optuna)", "hydra_plugins.hydra_optuna_sweeper", 'pip install "gcsl-cli[optuna]"'),
    ("4-bit training (adapter=qlora)", "bitsandbytes", 'pip install "gcsl-cli[qlora]"'),
    ("DeepSpeed (distributed=zero3)", "deepspeed", 'pip install "gcsl-cli[deepspeed]"'),
    ("Liger's kernels (train.liger)", "liger_kernel", 'pip install "gcsl-cli[liger]"'),
    ("item-kNN baseline (task=recommendation)", "implicit", 'pip install "gcsl-cli[recommendation]"'),
    (
        "sampling with vLLM (generation.backend=vllm)",
        "vllm",
        'pip install "vllm==0.32.*" in an environment of its own, and generation.vllm.python=PATH',
    ),
    ("development (make check)", "pytest", 'pip install "gcsl-cli[dev]"'),
    ("Weights & Biases (train.report_to=[wandb])", "wandb", "pip install wandb"),
    ("TensorBoard (train.report_to=[tensorboard])", "tensorboard", "pip install tensorboard"),
)
GIGABYTE = 1e9


def examine() -> dict[str, Any]:
    """Collect everything that `gcsl doctor` shows, as plain values; sizes in bytes."""
    from gcsl_cli.data.artifacts import cache_dir
    from gcsl_cli.tasks.code.sandbox.probe import why_not

    reason = why_not()
    return {
        "versions": versions(),
        "devices": devices(),
        "cache": folder(cache_dir(), with_size=True),
        "runs": folder(Path("runs").absolute(), with_size=False),
        "sandbox": {"works": not reason, "reason": reason},
        "optional": [{"part": part, "installed": _is_installed(name), "install": how} for part, name, how in OPTIONAL],
    }


def attack() -> dict[str, Any]:
    """Run the hostile programs in this machine's sandbox: programs by group, and what did not hold.

    Raises:
        DependencyError: The sandbox does not work here; no program was run.
    """
    from gcsl_cli.runs.progress import progress
    from gcsl_cli.tasks.code.sandbox.hostile import attacks, run
    from gcsl_cli.tasks.code.sandbox.probe import require

    require()
    chosen = attacks()
    broken = []
    with progress("attacking", len(chosen), "programs") as bar:
        for one, verdicts in zip(chosen, run(chosen), strict=True):
            if reason := one.result(*verdicts):
                broken.append({"group": one.group, "program": one.name, "reason": reason})
            bar.advance()
    return {"programs": dict(Counter(one.group for one in chosen)), "broken": broken}


def attack_report(found: dict[str, Any]) -> "Table":
    """Format the result of `attack` as a table."""
    broken = Counter(one["group"] for one in found["broken"])
    lines = [(group, f"{count - broken[group]} of {count} held") for group, count in found["programs"].items()]
    lines += [(f"{one['group']}: {one['program']}", f"DID NOT HOLD: {one['reason']}") for one in found["broken"]]
    return _table(lines)


def versions() -> dict[str, str]:
    """Return the versions of gcsl, Python and the main packages; `missing` if a package is not installed."""
    found = {"gcsl": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def devices() -> dict[str, Any]:
    """Return CPU cores, threads and bfloat16 support, and the GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"cpu_cores": cores, "torch": f"cannot be imported: {error}"}
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_cores": cores,
        "torch_threads": torch.get_num_threads(),
        "cpu_bf16": cpu_bf16(_cpu_flags()),
        "cuda": cuda,
        "mps": bool(torch.backends.mps.is_available()),
    }


def cpu_bf16(flags: set[str]) -> bool:
    """Return True if the CPU multiplies bfloat16 in hardware; bf16 autocast then trains about twice as fast."""
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}


def folder(path: Path, *, with_size: bool) -> dict[str, Any]:
    """Return whether a folder exists and is writable, its size, and the free space on its disk."""
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    found: dict[str, Any] = {
        "path": str(path),
        "exists": path.is_dir(),
        "writable": existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        "free": shutil.disk_usage(existing).free,
    }
    if with_size:
        found["size"] = sum(
            entry.stat().st_size for entry in path.rglob("*") if entry.is_file() and not entry.is_symlink()
        )
    return found


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def report(found: dict[str, Any]) -> "Table":
    """Format the result of `examine` as a table."""
    return _table(_lines(found))


def _table(lines: list[tuple[str, str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in lines:
        table.add_row(Text(label), Text(value))
    return table


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(name, version) for name, version in found["versions"].items()]
    lines.append(("", ""))
    lines += [(name.replace("_", " "), _shown(value)) for name, value in found["devices"].items()]
    lines.append(("", ""))
    lines += [("cache", _folder_line(found["cache"])), ("runs", _folder_line(found["runs"])), ("", "")]
    safe = found["sandbox"]
    lines.append(("sandbox", "works" if safe["works"] else f"does not work: {safe['reason']}"))
    for entry in found["optional"]:
        lines.append((entry["part"], "installed" if entry["installed"] else f"not installed; {entry['install']}"))
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _folder_line(found: dict[str, Any]) -> str:
    parts = [found["path"]]
    if not found["exists"]:
        parts.append("not created yet")
    if "size" in found:
        parts.append(f"{found['size'] / GIGABYTE:.2f} GB used")
    parts += [f"{found['free'] / GIGABYTE:.1f} GB free", "writable" if found["writable"] else "NOT writable"]
    return ", ".join(parts)
