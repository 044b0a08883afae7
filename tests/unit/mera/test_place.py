"""Where MERA is: what users may write, and which of several places is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from ectoolkit.errors import InputError, MissingDependencyError
from ectoolkit.mera import place as places
from ectoolkit.mera.place import Place, find_place, forget, parse_place, use


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MERA_PYTHON", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/mera/bin/python", Place("/opt/mera/bin/python")),
        ("popen//python=/opt/mera/bin/python", Place("/opt/mera/bin/python")),
        ("ssh=me@host//python=/opt/python", Place("/opt/python", "me@host")),
        ("ssh=-p 2222 me@host//python=python3.10//ssh_config=/c", Place("python3.10", "-p 2222 me@host", "/c")),
    ],
)
def test_parse(text: str, expected: Place) -> None:
    assert parse_place(text) == expected
    assert parse_place(expected.spec) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the place of MERA is empty; expected the path of a Python, or ssh=…"),
        ("ssh=me@host", "'ssh=me@host' names no Python; add //python=/path/to/python, the one with MERA"),
        (
            "ssh=me@host//pyton=/x",
            "'pyton=/x' in 'ssh=me@host//pyton=/x' is not understood; expected /path/to/python, or "
            "ssh=user@host//python=/path/to/python, and //ssh_config=FILE where needed",
        ),
    ],
)
def test_what_is_not_understood(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_place(text)
    assert str(caught.value) == message


def test_a_program_with_a_space_in_its_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "my mera" / "it's python"
    program.parent.mkdir()
    program.touch()
    assert parse_place(str(program)).words == [str(program)]
    assert parse_place(parse_place(str(program)).spec).words == [str(program)]
    monkeypatch.chdir(program.parent)
    assert parse_place("it's python").words == [str(program)]
    assert parse_place("docker exec -i mera python").words == ["docker", "exec", "-i", "mera", "python"]


def test_a_quotation_mark_without_a_partner() -> None:
    with pytest.raises(InputError) as caught:
        _ = parse_place("python '-X").words
    assert str(caught.value) == (
        '"python \'-X" is not understood (No closing quotation); expected /path/to/python, words quoted as for a shell'
    )


def test_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        find_place()
    assert str(caught.value) == (
        "EdgeCortix's compiler (MERA) is not installed, and no other place is named. Install it with `ectoolkit mera "
        "install`, or name a Python that has it: `ectoolkit mera use /path/to/python`, `ectoolkit mera use "
        "ssh=user@host//python=/path/to/python`, or the environment variable MERA_PYTHON"
    )
    program = places.launcher(places.default_folder())
    program.parent.mkdir(parents=True)
    program.touch()
    assert find_place().python == str(program)
    use(parse_place("ssh=me@host//python=/kept"))
    assert find_place() == Place("/kept", "me@host", named_by="`ectoolkit mera use`")
    monkeypatch.setenv("MERA_PYTHON", "/variable")
    assert find_place() == Place("/variable", named_by="MERA_PYTHON")
    assert find_place("/given") == Place("/given")
    monkeypatch.delenv("MERA_PYTHON")
    assert forget()
    assert not forget()
    assert find_place().python == str(program)


def test_a_damaged_choice() -> None:
    path = use(Place("/kept"))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        find_place()
    assert str(caught.value) == (
        f"{path} is damaged or of another version; choose again with `ectoolkit mera use`, or remove it"
    )
