"""Libraries for 64-bit Arm equal the interpreter in every element of every golden case, run by the C++ program under
qemu's emulation.

Needs g++-aarch64-linux-gnu, qemu-user and TVM's libraries for Arm (``make arm``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from required import skip

from ectoolkit.builders import build
from ectoolkit.runner import build_runner

#: each case once, with one of them
ISAS = ("neondot", "neon", "neoni8mm")
CASES = Path(__file__).parent / "cases"
WHEELS = Path(sys.prefix) / "arm"


def _lacking() -> str:
    """Why nothing here can be tried, empty where it can."""
    for name, package in (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), ("qemu-aarch64", "qemu-user")):
        if shutil.which(name) is None:
            return f"{name} is not installed: apt install {package}"
    return "" if WHEELS.is_dir() else "TVM's libraries for Arm are not here: make arm"


@pytest.fixture(scope="module", autouse=True)
def arm() -> None:
    if lacking := _lacking():
        skip("arm", lacking)


@pytest.fixture(scope="module")
def inference(request: pytest.FixtureRequest) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("ectoolkit")))  # type: ignore[union-attr]
        return build_runner(host_arch="aarch64", wheels=WHEELS)


def emulated(program: Path, folder: Path, cpu: str = "max") -> subprocess.CompletedProcess[str]:
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu, str(program), str(folder)]
    return subprocess.run([*command, "--runs=1", "--warmup=0"], capture_output=True, text=True, check=False)


@pytest.mark.timeout(900)
def test_program_equals_interpreter(golden: Any, inference: Path, tmp_path: Path) -> None:
    isa, layout = ISAS[golden.position % 3], ("NHWC", "NCHW")[golden.position % 2]
    built = build(golden.graph, tmp_path / "deploy", reference_input=golden.x, layout=layout, isa=isa)
    assert built.manifest.host_arch == "aarch64"
    done = emulated(inference, built.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"} <= set(done.stdout.splitlines())


@pytest.mark.parametrize("golden", [CASES / "conv5x5_stride2"], indirect=True, ids=["conv5x5_stride2"])
def test_cpu_without_the_dot_product(golden: Any, inference: Path, tmp_path: Path) -> None:
    """Cortex-A53 has none: a plain library runs, the other is refused before it is loaded."""
    folders = {
        isa: build(golden.graph, tmp_path / isa, reference_input=golden.x, isa=isa, host_arch="arm").path
        for isa in ("neon", "neondot")
    }
    assert emulated(inference, folders["neon"], "cortex-a53").returncode == 0
    done = emulated(inference, folders["neondot"], "cortex-a53")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"inference: {folders['neondot']}/deploy.so is built for isa neondot and this CPU lacks: asimddp. Build the "
        "directory for this machine's isa, or run it on a CPU that has it\n"
    )
