"""Run the C++ program from Python."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from ectoolkit.runner.build import build_runner


def run_inference(
    directory: str | os.PathLike[str],
    *,
    runs: int = 100,
    warmup: int = 10,
    threads: int | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a deploy directory with `inference`, which is built first where it was not yet.

    Args:
        directory: the deploy directory.
        runs: how many runs are measured.
        warmup: how many runs come before those.
        threads: by default the program's own choice: TVM_NUM_THREADS, else one a core.
        env: the whole environment of the program; by default this process's.

    Returns:
        The finished process with its text: ``returncode`` 0 equal, 1 different, 2 could not run.

    Raises:
        MissingDependencyError: apache-tvm is not installed.
        BuildError: the program could not be built.
    """
    folder = os.path.abspath(os.path.expanduser(directory))
    command = [str(build_runner()), folder, f"--runs={runs}", f"--warmup={warmup}"]
    if threads is not None:
        command.append(f"--threads={threads}")
    return subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", check=False)
