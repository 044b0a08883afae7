"""What each instruction set compiles to, and what refuses to run it: also of CPUs that this one is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tvm
from tvm.relax import vm_build

from ectoolkit.builders import build
from ectoolkit.builders.cpu.compiler import compile_module
from ectoolkit.builders.cpu.costs import BANDWIDTH, PEAK, predicted_shares
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import ISAS, choose_isa
from ectoolkit.core import host
from ectoolkit.core.host import missing_features
from ectoolkit.core.workload import workload
from ectoolkit.devices import open_device
from ectoolkit.errors import BuildError, DeviceError
from ectoolkit.runner import run_inference
from ectoolkit.testing.networks import example_input, residual_graph

GRAPH = residual_graph()
#: the dot product of each, as LLVM writes it, and what must not be there
DOT_PRODUCTS = {
    "avx512vnni": (r"\bvpdpbusd\s.*%zmm", None),
    "avxvnni": (r"\{vex\}\s+vpdpbusd\s.*%ymm", "%zmm"),
    "avx2": (r"\bvpmaddwd\s.*%ymm", "vpdpbusd|%zmm"),
    "generic": (r"\bpmuludq|\bpmaddwd|\bpmullw", "%ymm"),
    "neoni8mm": (r"\busdot\sv\d+\.4s", None),
    "neondot": (r"\bsdot\sv\d+\.4s", "usdot"),
    "neon": (r"\bsmlal2?\sv\d+\.4s", "sdot"),
}


@pytest.mark.parametrize("isa", ISAS)
def test_dot_product(isa: str) -> None:
    executable = compile_module(import_graph(GRAPH, isa=isa))
    libraries = [library for library in executable.mod.imports if library.kind == "llvm"]
    text = "\n".join(library.inspect_source("asm") for library in libraries)
    wanted, unwanted = DOT_PRODUCTS[isa]
    assert re.search(wanted, text), f"no {wanted} in the code for {isa}"
    assert unwanted is None or not re.search(unwanted, text)


def test_another_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = import_graph(GRAPH, isa="generic")
    monkeypatch.delattr(vm_build, "_filter_tir")
    with pytest.raises(BuildError) as caught:
        compile_module(imported)
    assert str(caught.value) == (
        f"apache-tvm {tvm.__version__} has no tvm.relax.vm_build._filter_tir, which building deploy.so needs. "
        "ectoolkit is written for apache-tvm 0.27: pip install 'apache-tvm>=0.27,<0.28'"
    )


def test_no_cross_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("ectoolkit.builders.cpu.builder.host_architecture", lambda: "aarch64")
    with pytest.raises(BuildError) as caught:
        build(GRAPH, tmp_path / "deploy", reference_input=example_input(GRAPH), isa="avx2")
    assert str(caught.value) == (
        "Linking deploy.so for x86_64 needs x86_64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-x86-64-linux-gnu"
    )


def flags(path: Path, text: str) -> Path:
    path.write_text(f"processor\t: 0\n{text}\n")
    return path


@pytest.mark.parametrize(
    ("machine", "line", "best"),
    [
        ("x86_64", "flags : avx2 bmi2 fma avx512f avx512cd avx512bw avx512dq avx512vl avx512_vnni", "avx512vnni"),
        ("x86_64", "flags : avx2 bmi2 fma avx_vnni", "avxvnni"),
        ("x86_64", "flags : avx2 bmi2 fma avx512f avx512_vnni", "avx2"),
        ("x86_64", "flags : sse2", "generic"),
        ("aarch64", "Features : fp asimd asimddp i8mm", "neoni8mm"),
        ("aarch64", "Features : fp asimd asimddp", "neondot"),
        ("aarch64", "Features : fp asimd", "neon"),
    ],
)
def test_best_of_a_cpu(machine: str, line: str, best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(host, "Path", lambda name: flags(tmp_path / "cpuinfo", line))
    assert choose_isa().name == best
    assert choose_isa(host_arch={"x86_64": "x86", "aarch64": "arm"}[machine]).name == best
    other = {"x86_64": ("arm", "neondot"), "aarch64": ("x86", "avx2")}[machine]
    assert choose_isa(host_arch=other[0]).name == other[1]


@pytest.fixture
def program_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C++ program is kept between test runs, outside the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("ectoolkit")))  # type: ignore[union-attr]


LACKING = [isa.name for isa in ISAS.values() if isa.host_arch == "x86_64" and missing_features(isa.cpu_features)]


@pytest.mark.parametrize("isa", LACKING)
@pytest.mark.usefixtures("program_cache")
def test_library_for_a_cpu_that_this_one_is_not(isa: str, tmp_path: Path) -> None:
    """Without the check it would die of an illegal instruction."""
    deployment = build(GRAPH, tmp_path / "deploy", reference_input=example_input(GRAPH), isa=isa)
    lacking = ", ".join(missing_features(ISAS[isa].cpu_features))
    with open_device("cpu") as device, pytest.raises(DeviceError) as caught:
        device.run(deployment)
    assert str(caught.value) == (
        f"{deployment.path} was built for {isa}, and this CPU lacks {lacking}. Build it again on this machine, with "
        "isa='host'"
    )
    done = run_inference(deployment.path, runs=1, warmup=0)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"inference: {deployment.path}/deploy.so is built for isa {isa} and this CPU lacks: {lacking}. Build the "
        "directory for this machine's isa, or run it on a CPU that has it\n"
    )


def test_layer_table() -> None:
    imported = import_graph(GRAPH, isa="avx512vnni")
    rows = {row["layer"]: row for row in imported.rows}
    assert sum(row["predicted_share"] for row in rows.values()) == pytest.approx(1)
    assert (rows["block"]["kernels"], rows["block"]["predicted_share"]) == ("in add", 0)
    assert rows["add"]["tile"]
    assert rows["stem"]["tile"]
    assert not rows["pool"]["tile"]


def test_predicted_shares() -> None:
    steps = import_graph(GRAPH, isa="generic").steps
    shares = predicted_shares(GRAPH, steps, "generic")
    assert set(shares) == {step.layers[-1] for step in steps}
    # two layers with as many kernels differ by their work alone
    stem, pool = workload(GRAPH, ["stem"]), workload(GRAPH, ["pool"])
    assert stem.macs / PEAK["generic"] > stem.moved / BANDWIDTH
    assert pool.macs == 0
    assert shares["stem"] > shares["pool"]
    assert set(PEAK) == set(ISAS)
