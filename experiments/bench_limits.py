"""The decoder's limits of `ilsvrc bench pipeline`, from a C program that bench.limit names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from experiments.errors import BadInput, FailedWork

LIMITS, LIMIT_A, LIMIT_B = "limits A and B", "limit A", "limit B"
# The lines of their own output, by recipe.
LINES = {
    ("resnet", LIMIT_A): "window decode, resnet 256-480",
    ("resnet", LIMIT_B): "+ resize/flip/PCA fused f32, resnet",
    ("inception", LIMIT_A): "window decode, RRC",
    ("inception", LIMIT_B): "+ resize/flip/PCA fused f32, RRC",
}


def compiled(source: Path, folder: Path, left_out: dict[str, str]) -> Path | None:
    """The limits' program, or None and why in `left_out`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not source.is_file():
        raise BadInput(f"bench.limit: expected the source file of the limits. Received: {source}")
    if compiler is None:
        left_out[LIMITS] = "no C compiler"
        return None
    program = folder / "limit"
    command = [compiler, "-O3", "-march=native", "-o", str(program), str(source), "-ljpeg", "-lm"]
    done = subprocess.run(  # nosec B603  # a C file that bench.limit names: the user's own
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        left_out[LIMITS] = f"they do not compile: {lines[0].strip()}"
        return None
    return program


def rates(
    program: Path, files: list[str], cores: list[int], folder: Path
) -> dict[tuple[str, str], float]:
    """Images a second by (recipe, limit), all cores at the same time."""
    listed = folder / "limit.txt"
    listed.write_text("\n".join(files) + "\n", encoding="utf-8")
    processes = [
        subprocess.Popen(  # nosec B603  # what was compiled just now, no shell
            [program, listed, str(core)], stdout=subprocess.PIPE, text=True
        )
        for core in cores
    ]
    outputs = [process.communicate()[0] for process in processes]
    return {key: sum(_rate(output, label) for output in outputs) for key, label in LINES.items()}


def _rate(output: str, label: str) -> float:
    for line in output.splitlines():
        name, _, rest = line.partition(" img/s")
        words = name.split()
        if rest and " ".join(words[:-1]) == label:
            return float(words[-1])
    raise FailedWork(f"the limits' program printed no line {label!r}")
