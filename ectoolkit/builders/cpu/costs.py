"""A simple cost model: what share of a run each layer will take.

A layer takes as long as its multiply-accumulates at the peak of the instruction set, or its bytes at the bandwidth of
the outer caches, whichever is more, and every kernel takes a little to be called.  The model knows nothing of tiles,
of kernels that do not use the dot product, or of what lies in inner caches: `Device.profile` measures those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ectoolkit.core.graph import Graph
from ectoolkit.core.program import Step
from ectoolkit.core.workload import workload

#: multiply-accumulates a second of one core.  Those of avx512vnni, avx2 and generic were measured by `kernels.roofline`
#: on a Zen 4 of 3.7 GHz; the others are guesses: avxvnni half of the first, Arm a core of 2.6 GHz with two pipes
PEAK = {
    "avx512vnni": 236e9,
    "avxvnni": 118e9,
    "avx2": 91e9,
    "generic": 10e9,
    "neoni8mm": 83e9,
    "neondot": 83e9,
    "neon": 21e9,
}
#: bytes a second that one core copies, and seconds until a kernel begins; of that Zen 4, the latter roughly
BANDWIDTH, CALL = 95e9, 0.3e-6


def predicted_shares(graph: Graph, steps: Sequence[Step], isa: str) -> dict[str, float]:
    """Share of a run's time by layer; layers that are computed together count for the last of them.

    Args:
        graph: that is run.
        steps: kernels of a run.
        isa: name of the instruction set.
    """
    seconds = {}
    for layers, group in groupby(steps, key=lambda step: step.layers):
        work = workload(graph, layers)
        seconds[layers[-1]] = max(work.macs / PEAK[isa], work.moved / BANDWIDTH) + CALL * len(list(group))
    total = sum(seconds.values())
    return {name: value / total for name, value in seconds.items()}
