"""``deploy.json`` of our own libraries: how to call them, what a run consists of, and what measures their CPU."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ectoolkit.core.graph_file import check_format
from ectoolkit.errors import DeployFormatError

FORMAT = "ectoolkit-program"
VERSION = 1


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel that a run calls, and the layers of the graph that it computes."""

    kernel: str
    layers: tuple[str, ...]


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function of the library that measures what the CPU can do at most.

    Attributes:
        function: its name.
        work: multiply-accumulates or bytes of one call.
        arguments: dtype and number of elements of each; their values do not matter.
    """

    function: str
    work: int
    arguments: tuple[tuple[str, int], ...]


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to call the library.

    ``prepare(parameters) -> prepared`` once after loading; ``run(inputs..., prepared) -> outputs`` each time.

    Attributes:
        prepare: name of the first function.
        run: name of the second.
        parameters: names in ``deploy.params``, in the order that `prepare` takes them.
        steps: kernels of one run, in order.
        peak_macs: measures multiply-accumulates a second.
        peak_bytes: measures bytes moved a second.
    """

    prepare: str
    run: str
    parameters: tuple[str, ...]
    steps: tuple[Step, ...]
    peak_macs: Probe
    peak_bytes: Probe


class ProgramFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``deploy.json``: the calling convention and the graph's JSON."""

    format: str = FORMAT
    format_version: int = VERSION
    program: Program
    graph: msgspec.Raw

    def to_json(self) -> bytes:
        """As written to disk."""
        return msgspec.json.encode(self, order="sorted")


def read_program(path: Path) -> ProgramFile:
    """Read ``deploy.json``.

    Raises:
        DeployFormatError: it is damaged or of another version.
    """
    data = path.read_bytes()
    check_format(data, FORMAT, VERSION, str(path))
    try:
        return msgspec.json.decode(data, type=ProgramFile)
    except msgspec.DecodeError as error:
        raise DeployFormatError(f"{path} is not valid: {error}. Build the directory again") from error
