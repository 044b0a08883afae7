"""Building the program: once, where asked, and with errors that say what is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runner_changes import Run, replace_file

from ectoolkit.core.manifest import MANIFEST, read_manifest
from ectoolkit.errors import BuildError, InputError, MissingDependencyError
from ectoolkit.runner import build, build_runner, runner_path, wheels


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_built_once(program: Path) -> None:
    before = program.stat()
    steps: list[tuple[int, int, str]] = []
    assert build_runner(progress=lambda *step: steps.append(step)) == program
    assert runner_path() == program
    assert program.stat().st_mtime_ns == before.st_mtime_ns
    assert steps == [(2, 2, "already built")]
    assert [entry.name for entry in program.parent.iterdir()] == ["inference"]


def test_copied_to_a_file_or_folder(program: Path, tmp_path: Path) -> None:
    copies = [build_runner(tmp_path), build_runner(tmp_path / "other name")]
    assert copies == [tmp_path / "inference", tmp_path / "other name"]
    assert build_runner(tmp_path) == tmp_path / "inference"
    assert len(list(tmp_path.iterdir())) == 2
    for copy in copies:
        assert subprocess.run([copy, "--help"], capture_output=True, check=False).returncode == 0


def test_destination_that_cannot_be_written(program: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        build_runner(tmp_path / "no" / "folder")


def test_not_built_yet(empty_cache: Path) -> None:
    assert runner_path() is None
    assert not empty_cache.exists()


def test_other_sources_are_another_program(monkeypatch: pytest.MonkeyPatch, program: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(Path(build.__file__).parent, sources)
    monkeypatch.setattr(build, "_SOURCES", sources)
    assert runner_path() == program
    with (sources / "src" / "sha256.h").open("a") as file:
        file.write("// changed\n")
    assert runner_path() is None


def test_no_cmake(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BuildError) as caught:
        build_runner()
    assert str(caught.value) == (
        "Building the inference program needs cmake, which is not in PATH nor beside "
        f"{tmp_path}/python. Install it with: pip install cmake"
    )


def test_cmake_beside_python_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "bin").mkdir()
    cmake = tmp_path / "bin" / "cmake"
    cmake.write_text("#!/bin/sh\n")
    cmake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert build._find_tool("cmake") == str(cmake)


def _only(tmp_path: Path, *tools: str) -> str:
    """A PATH with these tools alone."""
    folder = tmp_path / "only"
    folder.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return str(folder)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", _only(tmp_path, "cmake"))
    with pytest.raises(BuildError) as caught:
        build_runner()
    assert str(caught.value) == (
        "Building the inference program needs a C++17 compiler; found none of c++, g++, clang++ in PATH. "
        "Install one (Debian, Ubuntu: apt install g++; Fedora, RHEL: dnf install gcc-c++), "
        "or set CXX to where it is"
    )


def test_no_wheels_for_another_architecture() -> None:
    with pytest.raises(BuildError) as caught:
        build_runner(host_arch="riscv64")
    assert str(caught.value) == (
        "Building the inference program for riscv64 needs TVM's libraries for it, and wheels names no folder that has "
        "them. Get them with: pip install --target FOLDER --platform manylinux_2_28_riscv64 --only-binary=:all: "
        "--no-deps apache-tvm apache-tvm-ffi, of the versions that build deploy.so"
    )


def test_no_cross_compiler(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", _only(tmp_path, "cmake"))
    folder = wheels.find_wheels("This test").runtime_library.parents[2]
    with pytest.raises(BuildError) as caught:
        build_runner(host_arch="riscv64", wheels=folder)
    assert str(caught.value) == (
        "Building the inference program for riscv64 needs riscv64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-riscv64-linux-gnu"
    )


def test_compiler_named_by_cxx_is_missing(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(BuildError) as caught:
        build_runner()
    assert str(caught.value) == (
        "Building the inference program needs the C++ compiler that CXX names, which is not there: "
        "'no-such-compiler -O3'. Set CXX to a C++17 compiler, or unset it"
    )


def test_no_build_tool(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", _only(tmp_path, "cmake", "c++"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BuildError) as caught:
        build_runner()
    assert str(caught.value) == (
        "Building the inference program needs ninja or make; found neither. Install one with: pip install ninja"
    )


def test_compile_error(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "src").mkdir(parents=True)
    shutil.copy(Path(build.__file__).parent / "CMakeLists.txt", sources)
    (sources / "src" / "main.cc").write_text("int main() { return no_such_name; }\n")
    monkeypatch.setattr(build, "_SOURCES", sources)
    with pytest.raises(BuildError) as caught:
        build_runner()
    message = str(caught.value)
    assert message.startswith("Building the inference program failed while compiling (exit status ")
    assert "no_such_name" in message
    assert len(message.splitlines()) <= 1 + build._LAST_LINES
    assert "--build" in (caught.value.command or "")
    assert "no_such_name" in caught.value.stdout + caught.value.stderr
    assert [entry for entry in empty_cache.rglob("*") if not entry.is_dir()] == []


def test_configure_error(monkeypatch: pytest.MonkeyPatch, empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "CMakeLists.txt").write_text('message(FATAL_ERROR "no good")\n')
    monkeypatch.setattr(build, "_SOURCES", tmp_path)
    with pytest.raises(BuildError, match=r"failed while configuring \(exit status 1\)[\s\S]*no good") as caught:
        build_runner()
    assert "no good" in caught.value.stderr


def test_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="Make the folder writable, or set XDG_CACHE_HOME to one that is"):
        build_runner()


def test_no_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "tvm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ectoolkit\[tvm\]'"):
        build_runner()


def test_wheel_without_its_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wheels, "_package", lambda name, feature: tmp_path / name)
    with pytest.raises(BuildError, match=r"function\.h is missing; expected it in apache-tvm 0\.27"):
        runner_path()


def test_finding_the_program_does_not_import_tvm(program: Path) -> None:
    code = (
        "import sys, ectoolkit.runner as r; r.runner_path();"
        "sys.exit(bool({'tvm', 'tvm_ffi', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ.copy(), check=False).returncode == 0


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 65535, 65536, 65537, 300001])
def test_sha256_at_every_block_boundary(run: Run, deployment: Path, size: int) -> None:
    """The program accepts a file only where its own SHA-256 agrees with Python's."""
    data = np.random.default_rng(size).bytes(size)
    replace_file(deployment, "extra.bin", data)
    assert read_manifest(deployment).files["extra.bin"].sha256 == hashlib.sha256(data).hexdigest()
    assert MANIFEST not in read_manifest(deployment).files
    done = run(deployment, "--runs=1", "--warmup=0")
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_no_program_is_not_replaced(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError) as error:
        build._copy(Path("unused"), notes)
    assert str(error.value) == f"{notes} is there and is no program, so it is not replaced. Choose another name"
    assert notes.read_text(encoding="utf-8") == "mine"
