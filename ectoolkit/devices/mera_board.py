"""What EdgeCortix's runtime needs for a board, looked for before it is called: it names one missing thing at a time at
best, and ends its process at worst."""

from __future__ import annotations

from typing import Any

from ectoolkit.errors import DeviceNotFoundError
from ectoolkit.mera.session import Worker

#: where EdgeCortix's files are, unless the variable says otherwise
FOLDER, FOLDER_VARIABLE = "/opt/edgecortix", "EC_PLATFORM_DIR"
_VERILATOR_VARIABLE = "MERA_VER_LIB_DIR"
_XRT = "libxrt_coreutil.so.2"
_SAKURA = "libft4222.so"
_SECONDS = 30


def require_board(worker: Worker, board: str, platform: str) -> None:
    """Check that a board and its software are there, on the machine where MERA is.

    Args:
        worker: on that machine.
        board: a name of `ectoolkit.mera.names.BOARDS`.
        platform: that the deployment was built for.

    Raises:
        DeviceNotFoundError: names all that is missing, and how to get it.
    """
    if board == "XILINX_U50":
        _require_u50(worker, platform)
    elif board == "SAKURA_1":
        trouble = _look(worker, libraries=[_SAKURA])["libraries"][_SAKURA]
        if trouble:
            raise DeviceNotFoundError(
                f"mera:IP on SAKURA_1 cannot run on {worker.facts['host']}, for {_SAKURA} does not load ({trouble}): "
                "EdgeCortix's runtime would end its process. Install FTDI's LibFT4222, and ask EdgeCortix for the "
                "board's driver"
            )


def _require_u50(worker: Worker, platform: str) -> None:
    folder = _look(worker, variables=[FOLDER_VARIABLE])["variables"][FOLDER_VARIABLE] or FOLDER
    licence, xclbin = f"{folder}/license.lic", f"{folder}/dna.xclbin"
    seen = _look(worker, paths=[licence, xclbin], libraries=[_XRT])
    missing = []
    if not seen["paths"][licence]:
        missing.append(f"EdgeCortix's licence {licence}")
    if not seen["paths"][xclbin]:
        missing.append(f"the accelerator {xclbin}")
    if seen["libraries"][_XRT]:
        missing.append(f"XRT's {_XRT} ({seen['libraries'][_XRT]})")
    if not seen["render_nodes"]:
        missing.append("an XRT device (no /dev/dri/renderD* of a Xilinx card that this user may open)")
    if missing:
        raise DeviceNotFoundError(
            f"mera:IP on XILINX_U50 cannot run on {worker.facts['host']}. Missing: {'; '.join(missing)}. Ask "
            f"EdgeCortix for a license.lic for this machine and for the dna.xclbin of platform {platform} for the "
            f"U50's shell, and put both into {folder} (or set {FOLDER_VARIABLE}). XRT and the shell are AMD's, from "
            "the Alveo U50's download page"
        )


def require_verilator(worker: Worker) -> None:
    """Check that EdgeCortix's library for the logic's simulation is there.

    Raises:
        DeviceNotFoundError: it is not; says where it is expected.
    """
    folder = _look(worker, variables=[_VERILATOR_VARIABLE])["variables"][_VERILATOR_VARIABLE] or FOLDER
    found = _look(worker, patterns=[f"{folder}/Simulator*.so"])["patterns"]
    if not any(found.values()):
        raise DeviceNotFoundError(
            f"mera:VerilatorSimulator needs EdgeCortix's library Simulator….so in {folder} on {worker.facts['host']}, "
            f"and it is not there. Ask EdgeCortix for it and put it there, or set {_VERILATOR_VARIABLE}; "
            "mera:Simulator needs none and gives the same numbers"
        )


def _look(worker: Worker, **what: list[str]) -> dict[str, dict[str, str]]:
    given: dict[str, Any] = {"paths": [], "variables": [], "libraries": [], "patterns": [], **what}
    return dict(worker.call("look", timeout_s=_SECONDS, doing="looking for a board", **given))
