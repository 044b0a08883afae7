"""What XRT's refusals mean: its exceptions are generic, so the cause is looked for in its log too."""

from __future__ import annotations

from dataclasses import dataclass

from ectoolkit.errors import (
    BoardBusyError,
    BoardError,
    BoardHungError,
    BoardMemoryError,
    BoardPermissionError,
    BoardPlatformError,
    BoardSignatureError,
)


@dataclass(frozen=True)
class Refusal:
    """One cause.

    Attributes:
        signs: any of these in what XRT raised or logged.
        error: the class to raise.
        meaning: what it means.
        remedy: what to do; ``{bdf}`` is the board's address.
    """

    signs: tuple[str, ...]
    error: type[BoardError]
    meaning: str
    remedy: str


#: looked through in this order: the log's own words come before the generic ones
REFUSALS = (
    Refusal(
        ("dev_init failed: -13", "Permission denied"),
        BoardPermissionError,
        "this user may not open the board",
        "Join the group of /dev/dri/renderD*: sudo usermod -aG render $USER, then log in again",
    ),
    Refusal(
        ("Xclbin does not match shell on card", "Operation not supported"),
        BoardPlatformError,
        "the xclbin was linked for another shell than the board runs",
        "Link it for the board's shell, or flash the shell it needs: sudo xbmgmt program --base --device {bdf}",
    ),
    Refusal(
        ("Xclbin on card is in use", "Device or resource busy"),
        BoardBusyError,
        "another process uses the board or this compute unit",
        "Wait for it or end it; `xbutil examine --device {bdf}` shows who it is",
    ),
    Refusal(
        ("Please reset device with 'xbutil reset'", "Resource deadlock avoided"),
        BoardHungError,
        "a compute unit hangs, and the board takes nothing new",
        "Reset the board: sudo xbutil reset --device {bdf}",
    ),
    Refusal(
        ("Xclbin isn't signed properly", "Key was rejected by service"),
        BoardSignatureError,
        "the board takes signed files only, and this one is not",
        "Sign it with a key that the kernel knows (xclbinutil --add-signature), or ask whoever runs the machine",
    ),
    Refusal(
        ("Can't reach out to mgmt",),
        BoardError,
        "the board's management function does not answer",
        "Load its driver on the host: sudo modprobe xclmgmt; in a virtual machine, start MSD and MPD",
    ),
    Refusal(
        ("bad_alloc", "Cannot allocate memory"),
        BoardMemoryError,
        "the board has no room for it",
        "Free buffers, use another bank or split the buffer",
    ),
)


def explain(doing: str, board: str, bdf: str, raised: str, log: str) -> BoardError:
    """The exception for what XRT raised.

    Args:
        doing: what was tried, for ``"xrt:0 could not ..."``.
        board: the device's name.
        bdf: its PCIe address.
        raised: XRT's exception, or the last error in its log.
        log: the lines that it logged meanwhile.
    """
    said = f"{raised}\n{log}"
    for refusal in REFUSALS:
        if any(sign in said for sign in refusal.signs):
            text = f"{board} could not {doing}: {refusal.meaning} (XRT: {raised}). {refusal.remedy.format(bdf=bdf)}"
            return refusal.error(text, raised=raised, log=log)
    return BoardError(
        f"{board} could not {doing}: XRT says: {raised}. Its log is in the exception's `log`, the driver's in dmesg",
        raised=raised,
        log=log,
    )
