"""``ectoolkit verdict``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ectoolkit.devices.cpu import CpuDevice

Call = Callable[..., Any]


def test_every_link_holds(call: Call, deployment: Path, tmp_path: Path) -> None:
    report = tmp_path / "verdict.json"
    result = call("verdict", deployment, "--device", "cpu", "--device", "interpreter", "--report", report)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "input: ✓ the same numbers at every stage",
        "✓ interpreter → cpu: must be equal; 4096 elements equal",
        "✓ cpu → interpreter: must be equal; 4096 elements equal",
        "Every link holds on 1 image(s)",
    ]
    facts = json.loads(report.read_text(encoding="utf-8"))["facts"]
    assert {"graph sha256", "cpu: manifest sha256", "interpreter: tools"} <= set(facts)


def test_a_broken_device_is_located_by_truncated_builds(
    call: Call, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = CpuDevice._load

    def wrong(self: CpuDevice, deployment: Any) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        run = load(self, deployment)
        return lambda arrays: run([array * np.float32(0.5) for array in arrays])

    monkeypatch.setattr(CpuDevice, "_load", wrong)
    result = call("verdict", deployment)
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert lines[1].startswith("✗ interpreter → cpu: must be equal; first difference: ")
    assert "(quantize) is the first layer that differs: " in lines[2]
    assert lines[3].startswith("This usually means: the compiled library computes something else")
    assert call("verdict", deployment, "--no-localize").stdout.count("first layer") == 0


def test_wrong_calls_say_what_is_wrong(call: Call, deployment: Path, tmp_path: Path) -> None:
    result = call("verdict", deployment, "--report", tmp_path / "verdict.pdf")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: verdict.pdf ends in '.pdf'; a verdict is saved as .html or .json\n",
    )
    result = call("verdict", deployment, "--images", tmp_path)
    assert result.exit_code == 2
    assert "--images is a folder of photos: add --model" in result.stderr
