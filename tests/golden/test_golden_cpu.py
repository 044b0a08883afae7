"""The compiled library equals the interpreter in every element of every golden case, from Python and from C++."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from ectoolkit.builders import build
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices import open_device
from ectoolkit.runner import run_inference

CASES = Path(__file__).parent / "cases"
#: also built for plain x86-64: each kind of kernel once
GENERIC = [
    CASES / name
    for name in ("add_lhs_8bit", "add_none_relu_8bit", "cat_8bit", "conv7x7_dilated", "depthwise", "head_8bit")
]
NO_ENVIRONMENT = [CASES / "conv5x5_stride2", CASES / "head_8bit"]


@pytest.fixture(scope="module", autouse=True)
def program_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """The C++ program is kept between test runs, outside the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("ectoolkit")))  # type: ignore[union-attr]
        yield


@pytest.fixture(scope="module")
def built(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    out = tmp_path_factory.mktemp(golden.name) / "deploy"
    layout = ("NHWC", "NCHW")[golden.position % 2]
    return build(golden.graph, out, reference_input=golden.x, layout=layout)


def test_python_equals_interpreter(golden: Any, built: Deployment) -> None:
    with open_device("cpu") as device:
        own, given = device.run(built), device.run(built, golden.x)
    for found, again, expected in zip(own.outputs, given.outputs, golden.expected, strict=True):
        assert_array_equal(found, expected)
        assert_array_equal(again, expected)


def test_program_equals_interpreter(golden: Any, built: Deployment) -> None:
    done = run_inference(built.path, runs=2, warmup=1)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal_report(done.stdout)


@pytest.mark.parametrize("golden", NO_ENVIRONMENT, indirect=True, ids=lambda folder: folder.name)
def test_program_without_environment(golden: Any, built: Deployment) -> None:
    done = run_inference(built.path, runs=2, warmup=1, env={})
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal_report(done.stdout)


@pytest.mark.parametrize("golden", GENERIC, indirect=True, ids=lambda folder: folder.name)
def test_generic_equals_interpreter(golden: Any, tmp_path: Path) -> None:
    layout = ("NCHW", "NHWC")[golden.position % 2]
    built = build(golden.graph, tmp_path / "deploy", reference_input=golden.x, layout=layout, isa="generic")
    assert built.manifest.isa == "generic"
    assert built.manifest.cpu_features == ()
    with open_device("cpu") as device:
        for found, expected in zip(device.run(built).outputs, golden.expected, strict=True):
            assert_array_equal(found, expected)
    assert run_inference(built.path, runs=1, warmup=0).returncode == 0


def assert_equal_report(text: str) -> None:
    lines = text.splitlines()
    for line in ("max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"):
        assert line in lines
