"""An installation with steps of our own: which run, which are remembered, what is refused, what is left."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from ectoolkit.errors import BuildError, InputError
from ectoolkit.mera.install import install, installation_at, interpreters, uninstall
from ectoolkit.mera.install import installation as module
from ectoolkit.mera.install.interpreters import find_interpreter
from ectoolkit.mera.install.libraries import Folders
from ectoolkit.mera.install.steps import Layout, Step, clear_executable_stack, downloading, launcher_text
from ectoolkit.mera.install.tools import run_tool
from ectoolkit.mera.place import Place, config_path, kept, use

RAN: list[str] = []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("MERA_PYTHON", "MERA_PYTHON310", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "STEPS", tuple(step(name) for name in ("one", "two", "three")))
    monkeypatch.setattr(module, "find_interpreter", lambda given: Path(given or "/python3.10"))
    RAN.clear()
    return tmp_path


def step(name: str, error: Exception | None = None) -> Step:
    def run(layout: Layout, watch: object) -> None:
        RAN.append(name)
        if error is not None:
            raise error
        layout.venv.mkdir(exist_ok=True)
        (layout.venv / name).touch()

    return Step(name, f"step {name}", 10, run)


def test_an_interrupted_installation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = module.STEPS
    monkeypatch.setattr(module, "STEPS", (usual[0], step("two", KeyboardInterrupt()), usual[2]))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        install()
    begun = installation_at()
    assert begun is not None
    assert begun.missing == ["step two", "step three"]
    monkeypatch.setattr(module, "STEPS", usual)
    seen: list[tuple[int, int, str]] = []
    done = install(report=lambda *what: seen.append(what))
    assert RAN == ["one", "two", "two", "three"]
    assert seen == [(10, 30, "2/3 step two"), (20, 30, "3/3 step three"), (30, 30, "done")]
    assert done.missing == []
    install()
    assert RAN == ["one", "two", "two", "three"]
    install(python="/another/python3.10")  # everything anew
    assert RAN[4:] == ["one", "two", "three"]


def test_uninstall_leaves_nothing(home: Path) -> None:
    install()
    uninstall()
    assert list((home / "data").iterdir()) == []
    folder = home / "elsewhere"
    install(folder)
    assert kept() == Place(str(folder / "bin" / "mera-python"), named_by="`ectoolkit mera use`")
    uninstall(folder)
    assert not folder.exists()
    assert not config_path().parent.exists()
    use(Place("/another"))
    install()
    uninstall()
    assert kept() == Place("/another", named_by="`ectoolkit mera use`")  # not ours to remove


def test_uninstall_leaves_what_is_not_ours(home: Path) -> None:
    folder = home / "it's mine"
    install(folder)
    assert kept().words == [str(folder / "bin" / "mera-python")]  # type: ignore[union-attr]
    (folder / "thesis.tex").touch()
    uninstall(folder)
    assert list(folder.iterdir()) == [folder / "thesis.tex"]
    assert kept() is None
    target, link = home / "target", home / "link"
    target.mkdir()
    link.symlink_to(target)
    install(link)
    uninstall(link)
    assert list(target.iterdir()) == []
    assert link.is_symlink()


def test_what_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = home / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    with pytest.raises(InputError) as caught:
        install(full)
    assert str(caught.value) == (
        f"{full} holds other files (thesis.tex); expected an empty folder or one that `ectoolkit mera install` made. "
        "Choose another one"
    )
    with pytest.raises(InputError) as caught:
        uninstall(full)
    assert str(caught.value) == (
        f"{full} holds no environment that `ectoolkit mera install` made, so nothing is removed. Name its folder: "
        "ectoolkit mera uninstall DIR"
    )
    with pytest.raises(InputError) as caught:
        install(full / "thesis.tex")
    assert str(caught.value) == (
        f"{full / 'thesis.tex'} is a file; expected a folder for MERA's environment. Choose another name"
    )
    monkeypatch.setattr(module, "PEAK_MB", 1e12)
    with pytest.raises(BuildError, match=r"GB free, and MERA needs 1000000000.0 GB while it is installed. Make"):
        install()
    assert RAN == []


def test_two_at_once(home: Path) -> None:
    folder = home / "both"
    folder.mkdir()
    with module._locked(folder), pytest.raises(InputError) as caught:
        install(folder)
    assert str(caught.value) == f"another process is installing in {folder}; wait for it, or end it"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python(path: Path, version: str = "[3, 10, 13]", kind: str = "CPython", able: str = "true") -> Path:
    return script(path, f"""echo '[{version}, "{kind}", "x86_64", {able}]'""")


def test_interpreters(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home / "bin"))
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(BuildError) as caught:
        find_interpreter()
    assert str(caught.value) == (
        "no CPython 3.10 was found, which MERA needs: not in PATH, and none of pyenv's or uv's. Install one (pyenv "
        "install 3.10; uv python install 3.10; on Debian or Ubuntu with such a package: apt install python3.10-venv), "
        "or name one with --python or MERA_PYTHON310"
    )
    managed = python(home / "data" / "uv" / "python" / "cpython-3.10.14-linux" / "bin" / "python3.10")
    assert find_interpreter() == managed
    pyenv = python(home / ".pyenv" / "versions" / "3.10.13" / "bin" / "python3.10")
    assert find_interpreter() == pyenv
    shim = script(home / "bin" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    assert find_interpreter() == pyenv  # a shim of no version does not run
    python(shim)
    assert find_interpreter() == shim
    other = python(home / "python3.9", "[3, 9, 1]")
    with pytest.raises(BuildError) as caught:
        find_interpreter(other)
    assert str(caught.value).startswith(
        f"{other} is CPython 3.9.1; MERA needs CPython 3.10 for x86-64, with venv. Install"
    )
    bare = python(home / "bare", able="false")
    with pytest.raises(
        BuildError, match=r"bare has no venv \(on Debian or Ubuntu: apt install python3.10-venv\); MERA"
    ):
        find_interpreter(bare)
    monkeypatch.setenv(interpreters.VARIABLE, str(home / "nowhere"))
    with pytest.raises(BuildError, match=r"nowhere is no program that can be run; expected a CPython 3.10\."):
        find_interpreter()


def test_tools(tmp_path: Path) -> None:
    assert run_tool([sys.executable, "-c", "print('a'); print('b')"], doing="printing") == "a\nb"
    failing = script(tmp_path / "failing", "echo 'E: no network'; exit 100")
    with pytest.raises(BuildError) as caught:
        run_tool([failing], doing="reading the package lists")
    assert str(caught.value) == (
        f"reading the package lists failed: {failing} ended with status 100. Its last output:\nE: no network"
    )
    assert (caught.value.command, caught.value.stdout) == (str(failing), "E: no network")
    with pytest.raises(BuildError, match=r"^reading: there is no program apt-nowhere$"):
        run_tool(["apt-nowhere"], doing="reading")

    def cancel(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool(["sleep", "60"], doing="waiting", watch=cancel)


@pytest.mark.parametrize("private", [True, False])
def test_launcher(tmp_path: Path, private: bool) -> None:
    folder = tmp_path / "it's here"
    layout = Layout(folder, Path("/usr/bin/python3.10"))
    folders: Folders = layout.libraries
    folders.runtime.mkdir(parents=True)
    if private:
        script(folders.runtime / "ld-linux-x86-64.so.2", 'echo "$@"')
    else:
        script(layout.venv / "bin" / "python", 'echo "$LD_LIBRARY_PATH $@"')
    program = script(folder / "bin" / "mera-python", "")
    program.write_text(launcher_text(layout))
    said = run_tool([program, "-c", "pass"], doing="launching", environment={"LD_LIBRARY_PATH": "/mine"})
    if private:
        assert said.startswith(f"--library-path {folders.runtime}:{folders.extra}:/usr/lib/x86_64-linux-gnu:")
        assert "/mine" not in said
    else:
        assert said.startswith(f"{folders.extra}:/mine ")
    assert said.endswith(" -c pass")


def test_the_executable_stack_is_cleared(tmp_path: Path) -> None:
    head = bytearray(64 + 2 * 56)
    head[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 2)
    struct.pack_into("<II", head, 64, 1, 5)
    struct.pack_into("<II", head, 64 + 56, 0x6474E551, 7)
    library = tmp_path / "lib.so"
    library.write_bytes(head)
    clear_executable_stack(library)
    struct.pack_into("<II", head, 64 + 56, 0x6474E551, 6)
    assert library.read_bytes() == bytes(head)
    text = tmp_path / "lib.so.txt"
    text.write_text("/* GNU ld script */")
    clear_executable_stack(text)
    assert text.read_text() == "/* GNU ld script */"


def test_progress_survives_a_file_that_pip_removes_meanwhile(tmp_path: Path) -> None:
    assert downloading(tmp_path) == ""
    unpacked = tmp_path / "pip-unpack-1"
    unpacked.mkdir()
    (unpacked / "torch-1.12.1-cp310.whl").write_bytes(bytes(2_000_000))
    assert downloading(tmp_path) == "torch: 2 MB"
    (unpacked / "mera.whl").symlink_to(unpacked / "gone")  # listed, and not there when it is looked at
    assert downloading(tmp_path) == ""
