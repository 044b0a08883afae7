"""`import ectoolkit` loads nothing heavy and costs next to nothing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "torchvision", "tvm", "tvm_ffi", "pandas", "ipywidgets", "anywidget", "IPython", "matplotlib", "PIL")
LIGHT = [
    "ectoolkit",
    "ectoolkit.errors",
    "ectoolkit.core.interpreter",
    "ectoolkit.core.deployment",
    "ectoolkit.passes.residual_add",
    "ectoolkit.frontends.torchscript",
    "ectoolkit.quantization.eager",
    "ectoolkit.builders",
    "ectoolkit.devices",
    "ectoolkit.runner",
    "ectoolkit.data",
    "ectoolkit.interpreters",
]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("module", LIGHT)
def test_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    assert json.loads(python("-c", code).stdout) == []


def test_importtime_shows_nothing_heavy() -> None:
    """What the flag prints for `import ectoolkit`, as a person would look at it."""
    report = python("-X", "importtime", "-c", "import ectoolkit").stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    assert "ectoolkit" in imported
    assert imported.isdisjoint(HEAVY)


def seconds(code: str) -> float:
    start = time.perf_counter()
    python("-c", code)
    return time.perf_counter() - start


def test_takes_little_time() -> None:
    """Median of three above a bare start; other tests may be running, so the best of three tries counts."""
    seconds("import ectoolkit")  # compiles what is not compiled yet
    tries = []
    for _ in range(3):
        bare = statistics.median(seconds("pass") for _ in range(3))
        tries.append(statistics.median(seconds("import ectoolkit") for _ in range(3)) - bare)
        if tries[-1] < 0.2:
            break
    assert min(tries) < 0.2


def test_cards_load_what_they_show_and_nothing_that_runs() -> None:
    code = (
        "import ectoolkit as ect, json, sys\n"
        "from ectoolkit.widgets.cards import card_of\n"
        "card_of(ect.Flow(object()))\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    assert set(json.loads(python("-c", code).stdout)) <= {"ipywidgets", "anywidget", "IPython"}
