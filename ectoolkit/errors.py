"""Every exception and warning of ectoolkit.

A message says what was wrong, what was found, what was expected and what to do next.
A difference between two results is a value (`ectoolkit.core.compare.Diff`), never an exception.
"""

from __future__ import annotations


class EctoolkitError(Exception):
    """Base of everything ectoolkit raises on purpose."""


class MissingDependencyError(EctoolkitError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


class GraphError(EctoolkitError, ValueError):
    """A model cannot become a `Graph`, or a `Graph` cannot be used as asked."""


class UnsupportedOpError(GraphError):
    """An operation has no integer definition here; names the op, the layer and the remedy."""


class VerificationError(GraphError):
    """A `Graph` breaks one of its own laws."""


class PassError(EctoolkitError):
    """A rewrite could not be done."""


class PreconditionError(PassError):
    """The graph given to a pass is not one the pass is written for."""


class PostconditionError(PassError):
    """A pass produced a graph that breaks what it promises: a bug in ectoolkit."""


class QuantizationError(EctoolkitError, ValueError):
    """A number cannot be represented on the integer grid it is meant for."""


class InputError(EctoolkitError, ValueError):
    """An array, image, folder or checkpoint is not what was asked for."""


class BuildError(EctoolkitError):
    """A tool outside Python failed.

    Attributes:
        command: the command line as run, or None.
        stdout: what it printed.
        stderr: what it printed to standard error.
    """

    def __init__(self, message: str, *, command: str | None = None, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.command = command
        self.stdout = stdout
        self.stderr = stderr


class WorkerError(EctoolkitError):
    """A process that works for ectoolkit died, hung, lost its connection, or failed at what it was asked.

    Attributes:
        output: what it printed.
        timed_out: whether it was killed because it took too long.
    """

    def __init__(self, message: str, *, output: str = "", timed_out: bool = False) -> None:
        super().__init__(message)
        self.output = output
        self.timed_out = timed_out


class DeployFormatError(EctoolkitError, ValueError):
    """A deploy directory or saved file is damaged, incomplete or of another format version."""


class DeviceError(EctoolkitError):
    """A device could not do what was asked."""


class DeviceNotFoundError(DeviceError):
    """No device of that name."""


class DeviceStateError(DeviceError):
    """The device is closed, or nothing is loaded."""


class DeviceRunError(DeviceError):
    """The run failed on the device."""


class DeviceTimeoutError(DeviceError):
    """The device did not answer in time."""


class UntrustedError(DeviceError):
    """A deploy directory came from elsewhere, and nobody said that its native code may run."""


class RemoteError(DeviceError):
    """A device on another machine, or the way to it, failed."""


class RemoteUnreachableError(RemoteError):
    """Nothing answers at the address, or not as `ectoolkit device serve` does."""


class RemoteRefusedError(RemoteError):
    """The server knows another key, has no room for one more session, or takes no file so large."""


class RemoteLostError(RemoteError):
    """The server, its session or the connection went away."""


class RemoteTransferError(RemoteError):
    """What arrived at the server is not what was sent."""


class XclbinError(DeviceError, ValueError):
    """A file is not a whole xclbin, or lacks what was asked of it; found before XRT saw it."""


class KernelArgumentError(DeviceError, ValueError):
    """A call of a kernel does not fit its arguments; found before XRT saw it."""


class BoardError(DeviceError):
    """XRT or the board refused.

    Attributes:
        raised: what XRT raised.
        log: what XRT wrote to its log meanwhile.
    """

    def __init__(self, message: str, *, raised: str = "", log: str = "") -> None:
        super().__init__(message)
        self.raised = raised
        self.log = log


class BoardPermissionError(BoardError):
    """This user may not open the board."""


class BoardPlatformError(BoardError):
    """The xclbin was linked for another shell than the board runs."""


class BoardBusyError(BoardError):
    """Another process uses the board."""


class BoardHungError(BoardError):
    """A compute unit hangs; the board needs a reset."""


class BoardSignatureError(BoardError):
    """The board takes signed files only, and this one is not."""


class BoardMemoryError(BoardError):
    """The board has no room for a buffer, in that bank."""


class BoardLostError(BoardError):
    """The process that talked to XRT died."""


class PluginError(EctoolkitError):
    """A plugin could not be loaded."""


class StageError(EctoolkitError):
    """A stage was asked for something it cannot do yet; says which stage to run first."""


class Cancelled(EctoolkitError):  # noqa: N818  (it ends a run as asked; nothing went wrong)
    """The user cancelled; the last good state is kept."""


class EctoolkitWarning(UserWarning):
    """Base of every warning."""


class PluginWarning(EctoolkitWarning):
    """A plugin was left out."""


class PrecisionWarning(EctoolkitWarning):
    """The result is right by the rules but may not be what was meant."""
