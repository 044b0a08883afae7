"""``ectoolkit verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ectoolkit.core.deployment import load_deployment
from ectoolkit.core.manifest import MANIFEST, record_files


def test_intact(call: Any, built: Path) -> None:
    result = call("verify", built)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{built}: model, target cpu, ")
    assert lines[-1] == "all 6 files are as they were built"
    manifest = load_deployment(built).manifest
    for name, record in manifest.files.items():
        assert any(line.startswith(name) and record.sha256 in line and line.endswith("ok") for line in lines)


def test_recompute_equal(call: Any, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Any) -> None:
        raise AssertionError("a reference comes from the definition, not from the fast interpreter")

    monkeypatch.setattr("ectoolkit.interpreters.engines._program", refuse)
    result = call("verify", built, "--recompute")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-3:] == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]


def test_recompute_finds_a_reference_that_was_sealed_wrong(call: Any, deployment: Path) -> None:
    file = deployment / "ref_result_0.bin"
    reference = np.fromfile(file, "<f4")
    old = float(reference[17])
    reference[17] += 1
    reference.tofile(file)
    manifest = load_deployment_unchecked(deployment)
    sealed = msgspec.structs.replace(manifest, files=record_files(deployment)).sealed()
    (deployment / MANIFEST).write_bytes(sealed.to_json())
    assert call("verify", deployment).exit_code == 0
    result = call("verify", deployment, "--recompute")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        f"first difference: dequant[0, 0, 1, 1] is {float(f'{old:.9g}')}, "
        f"expected {float(f'{reference[17]:.9g}')} (1 of 4096 differ)"
    )


def load_deployment_unchecked(folder: Path) -> Any:
    from ectoolkit.core.manifest import read_manifest

    return read_manifest(folder)
