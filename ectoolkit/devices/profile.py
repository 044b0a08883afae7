"""What a profile is: each layer's time beside the roofline of the device."""

from __future__ import annotations

from dataclasses import dataclass

from ectoolkit.core.workload import Workload


@dataclass(frozen=True)
class Roofline:
    """What a device can do at most with the instructions of a library, as measured.

    Attributes:
        macs_per_s: multiply-accumulates of its dot product, on operands in registers and the innermost cache.
        bytes_per_s: read and written by a copy of 4 MB, which outer caches hold as they do activations.
    """

    macs_per_s: float
    bytes_per_s: float

    def seconds(self, work: Workload) -> float:
        """The least time of some work, whose multiply-accumulates and bytes overlap."""
        return max(work.macs / self.macs_per_s, work.moved / self.bytes_per_s)


@dataclass(frozen=True)
class LayerTime:
    """One layer, or several that one kernel computes.

    Attributes:
        layers: names in the graph.
        op: of each, with a plus sign between them.
        kernels: in the library, in the order they run.
        seconds: the least of the runs.
        work: multiply-accumulates, and bytes of inputs, weights and output.
    """

    layers: tuple[str, ...]
    op: str
    kernels: tuple[str, ...]
    seconds: float
    work: Workload

    @property
    def name(self) -> str:
        """Of the layers, with a plus sign between them."""
        return " + ".join(self.layers)


@dataclass(frozen=True)
class Profile:
    """Where a run spends its time.

    Attributes:
        layers: in the order they run.
        roofline: of the device with as many threads.
        latency_s: of a whole run, the least; what it exceeds the layers by is the virtual machine's.
        runs: how many were timed.
        device: its name.
        threads: that ran it.
    """

    layers: tuple[LayerTime, ...]
    roofline: Roofline
    latency_s: float
    runs: int
    device: str
    threads: int

    @property
    def layers_s(self) -> float:
        """Sum of the layers' times."""
        return sum(layer.seconds for layer in self.layers)

    def share_of_roofline(self, layer: LayerTime) -> float:
        """The least time that the roofline allows, divided by the layer's; above 1 where inner caches held its data."""
        return self.roofline.seconds(layer.work) / layer.seconds

    def __str__(self) -> str:
        peak = self.roofline
        return (
            f"{len(self.layers)} layers in {self.layers_s * 1e3:.3f} ms of {self.latency_s * 1e3:.3f} ms, "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}; roofline {peak.macs_per_s / 1e9:.0f} GMAC/s, "
            f"{peak.bytes_per_s / 1e9:.0f} GB/s"
        )
