"""A tiny real deployment and the program, each compiled once, the program into a cache folder of the tests.

The model has two inputs, two outputs and two parameters, all small whole numbers, so that its result
is exact: ``prepare`` doubles ``w``; ``main`` returns ``x * w + b`` and ``y + b``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runner_changes import Run

from ectoolkit.core.manifest import Manifest, record_files, tensor_files
from ectoolkit.core.types import Layout
from ectoolkit.runner import build_runner

X = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
Y = np.array([[10, 20, 30, 40]], np.float32)
W = np.array([1, -2, 3, -4], np.float32)
B = np.array([5, 6, 7, 8], np.float32)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield build_runner()


def compile_library(path: Path) -> None:
    import tvm
    from tvm import relax

    tensor = relax.TensorType
    parameters = relax.TupleType([tensor((4,), "float32"), tensor((4,), "float32")])
    builder = relax.BlockBuilder()
    raw = relax.Var("params", parameters)
    with builder.function("prepare", [raw]):
        with builder.dataflow():
            w = builder.emit(relax.TupleGetItem(raw, 0))
            doubled = builder.emit(relax.op.add(w, w))
            b = builder.emit(relax.TupleGetItem(raw, 1))
            out = builder.emit_output(relax.Tuple([doubled, b]))
        builder.emit_func_output(out)
    x, y = relax.Var("x", tensor(X.shape, "float32")), relax.Var("y", tensor(Y.shape, "float32"))
    prepared = relax.Var("prepared", parameters)
    with builder.function("main", [x, y, prepared]):
        with builder.dataflow():
            w = builder.emit(relax.TupleGetItem(prepared, 0))
            b = builder.emit(relax.TupleGetItem(prepared, 1))
            first = builder.emit(relax.op.add(relax.op.multiply(x, w), b))
            second = builder.emit(relax.op.add(y, b))
            out = builder.emit_output(relax.Tuple([first, second]))
        builder.emit_func_output(out)
    target = tvm.target.Target({"kind": "llvm", "opt-level": 3})
    tvm.compile(builder.get(), target=target).export_library(str(path))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tvm

    folder = tmp_path_factory.mktemp("built") / "deploy"
    folder.mkdir()
    compile_library(folder / "deploy.so")
    parameters = {"b": B, "unused": B, "w": W}
    (folder / "deploy.params").write_bytes(bytes(tvm.runtime.save_param_dict(parameters)))
    program = {"prepare": "prepare", "run": "main", "parameters": ["w", "b"]}
    head = {"format": "ectoolkit-program", "format_version": 1}
    (folder / "deploy.json").write_text(json.dumps({**head, "program": program, "graph": {}}))
    inputs = tensor_files(["x", "y"], [(1, 4, 2, 3), (1, 4)], Layout.NHWC, "input{}.bin")
    outputs = tensor_files(["scores", "boxes"], [(1, 4, 2, 3), (1, 4)], Layout.NHWC, "ref_result_{}.bin")
    arrays = [X, Y, X * (2 * W) + B, Y + B]
    for tensor, array in zip([*inputs, *outputs], arrays, strict=True):
        assert tensor.shape == array.shape
        array.astype("<f4").tofile(folder / tensor.file)
    manifest = Manifest(
        name='tiny "nét"\\',
        target="cpu",
        platform="",
        host_arch="x86_64",
        isa="generic",
        cpu_features=("sse2",),
        tools={"apache-tvm": "0.27"},
        model_sha256="",
        calibration_sha256="",
        graph_sha256="",
        quantization_sha256="",
        inputs=inputs,
        outputs=outputs,
        files=record_files(folder),
    )
    (folder / "manifest.json").write_bytes(manifest.sealed().to_json())
    return folder


@pytest.fixture
def deployment(built: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(built, tmp_path / "deploy"))


@pytest.fixture
def run(program: Path) -> Run:
    def run_program(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [str(program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)

    return run_program


@pytest.fixture
def refused(run: Run, deployment: Path) -> Callable[[], str]:
    """Runs the copy, which must be refused, and returns the message."""

    def message() -> str:
        done = run(deployment, "--runs=1", "--warmup=0")
        assert done.returncode == 2, done
        assert done.stdout == ""
        prefix, _, text = done.stderr.removesuffix("\n").partition(": ")
        assert prefix == "inference"
        return text

    return message
