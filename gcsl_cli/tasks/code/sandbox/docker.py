"""The command line of docker: a container for each program, from an image that has Python."""

from gcsl_cli.tasks.code.sandbox.engine import NAME, Engine
from gcsl_cli.tasks.code.sandbox.limits import Limits


def engine(limits: Limits, image: str, docker: str = "docker") -> Engine:
    """Containers under these limits; a container counts its memory and processes as a whole."""
    command = [docker, "run", "--rm", "-i", "--init", "--name", NAME, "--network", "none", "--read-only"]
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65534:65534"]
    command += ["--pids-limit", str(limits.processes + 2), "--memory", str(limits.memory_bytes)]
    command += ["--memory-swap", str(limits.memory_bytes), "--cpus", "1", "--hostname", "sandbox"]
    command += ["--tmpfs", f"/tmp:rw,nosuid,nodev,size={limits.file_bytes}", "--workdir", "/tmp", image, "python"]
    return Engine("docker", command, stop=[docker, "kill", NAME], same_interpreter=False)
