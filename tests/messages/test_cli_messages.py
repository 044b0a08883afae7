"""The full text of every message of the command line's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ectoolkit.cli.files import read_npy, read_tensors
from ectoolkit.cli.main import app
from ectoolkit.core.manifest import TensorFile
from ectoolkit.core.types import Layout
from ectoolkit.errors import InputError

TENSOR = TensorFile("x", (1, 4, 6, 3), "float32", Layout.NHWC, "input0.bin")
SCORES = TensorFile("scores", (1, 10), "float32", Layout.NC, "ref_result_0.bin")


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def read_message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_npy(path)
    return str(caught.value)


def test_read_npy(tmp_path: Path) -> None:
    assert read_message(tmp_path) == f"{tmp_path} is a folder; expected a .npy file"
    missing = tmp_path / "none.npy"
    assert read_message(missing) == f"{missing} is not there; expected a .npy file"
    wide = saved(tmp_path / "wide.npy", np.zeros(3))
    assert read_message(wide) == (
        f"{wide} holds float64, expected float32; write it with numpy.save(path, array.astype(numpy.float32))"
    )
    several = tmp_path / "several.npz"
    np.savez(several, a=np.zeros(1), b=np.zeros(1))
    assert read_message(several) == (
        f"{several} holds several arrays (.npz); expected one array, written with numpy.save"
    )
    text = tmp_path / "text.npy"
    text.write_text("hello")
    message = read_message(text)
    assert message.startswith(f"{text} is not a .npy file: ")
    assert message.endswith(". Write it with numpy.save")


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    assert read_message(path).startswith(f"{path} is not a .npy file: Object arrays cannot be loaded")


def test_read_tensors(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_tensors([], [TENSOR, SCORES], "input")
    assert str(caught.value) == "got 0 file(s) for 2 input(s): x, scores. Give one for each, in order"
    path = saved(tmp_path / "x.npy", np.zeros((1, 5, 5, 3), np.float32))
    with pytest.raises(InputError) as caught:
        read_tensors([path], [TENSOR], "input")
    assert str(caught.value) == f"{path} has shape (1, 5, 5, 3); x is (1, 4, 6, 3) (NHWC) or (1, 3, 4, 6) (NCHW)"
    with pytest.raises(InputError) as caught:
        read_tensors([path], [SCORES], "output")
    assert str(caught.value) == f"{path} has shape (1, 5, 5, 3); scores is (1, 10) (NC)"


def test_layout_that_the_shape_does_not_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cube = TensorFile("x", (1, 3, 3, 3), "float32", Layout.NHWC, "input0.bin")
    array = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    path = saved(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_tensors([path], [cube], "input")[0], array.transpose(0, 3, 1, 2))
    assert capsys.readouterr().err == (
        f"note: {path} fits NHWC and NCHW alike; it is taken as NHWC, the directory's layout\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["m.pt", "out", "--method", "mse"],
            "--method is for a model by name; m.pt is a file, quantized already",
        ),
        (
            ["m.pt", "out", "--weights-scheme", "per_tensor"],
            "--weights-scheme is for a model by name; m.pt is a file, quantized already",
        ),
        (
            ["m.pt", "out", "--accurate"],
            "--accurate is for a model by name; m.pt is a file, quantized already",
        ),
        (
            ["m.pt", "out", "--door", "export"],
            "--door is for a model by name; m.pt is a file, quantized already",
        ),
        (["m.pt", "out"], "m.pt is a TorchScript file: add --input-shape, for example 1,3,224,224"),
        (
            ["m.pt", "out", "--input-shape", "1,3,a"],
            "--input-shape '1,3,a' is not whole numbers with commas, for example 1,3,224,224",
        ),
        (
            ["mobilenet_v2", "out", "--input-shape", "1,3,8,8"],
            "--input-shape is for a TorchScript file; mobilenet_v2 brings its own",
        ),
    ],
)
def test_deploy_usage(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pt").touch()
    result = CliRunner().invoke(app, ["deploy", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.endswith(f"Error: Invalid value: {message}\n")


def test_deploy_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Said first: whoever mistyped a name need not look up a shape."""
    arguments = ["deploy", str(tmp_path / "m.pt"), str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {tmp_path / 'm.pt'} is not there; expected a TorchScript file\n",
    )


def test_lab(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        result = CliRunner().invoke(app, ["lab", str(path)])
        assert result.exit_code == 2
        return str(result.stderr)

    path = tmp_path / "none.ipynb"
    assert message(path) == f"error: there is no notebook {path}; there is no notebook in {tmp_path}\n"
    (tmp_path / "a.ipynb").touch()
    (tmp_path / "b.ipynb").touch()
    assert message(path) == f"error: there is no notebook {path}; {tmp_path} has a.ipynb, b.ipynb\n"
