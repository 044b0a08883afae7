"""A profile as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ectoolkit.analysis.frames import frame
from ectoolkit.devices import Profile

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "layer": "str",
    "op": "str",
    "kernels": "str",
    "time_us": "float64",
    "share": "float64",
    "macs": "int64",
    "gmac_per_s": "float64",
    "moved_bytes": "int64",
    "gb_per_s": "float64",
    "bound": "str",
    "of_roofline": "float64",
}


def profile_table(profile: Profile) -> pd.DataFrame:
    """One row a layer, in the order they run.

    Columns: ``layer``; ``op``; ``kernels``; ``time_us`` microseconds, the least of the runs; ``share`` of all layers'
    time; ``macs`` multiply-accumulates; ``gmac_per_s`` of them reached; ``moved_bytes`` of inputs, weights and output;
    ``gb_per_s`` of them reached; ``bound`` by what the roofline allows least: ``compute`` or ``memory``;
    ``of_roofline`` the least time that the measured roofline allows, divided by the layer's.
    """
    rows = []
    for layer in profile.layers:
        work, peak = layer.work, profile.roofline
        compute = work.macs / peak.macs_per_s > work.moved / peak.bytes_per_s
        rows.append(
            {
                "layer": layer.name,
                "op": layer.op,
                "kernels": ", ".join(layer.kernels),
                "time_us": layer.seconds * 1e6,
                "share": layer.seconds / profile.layers_s,
                "macs": work.macs,
                "gmac_per_s": work.macs / layer.seconds / 1e9,
                "moved_bytes": work.moved,
                "gb_per_s": work.moved / layer.seconds / 1e9,
                "bound": "compute" if compute else "memory",
                "of_roofline": profile.share_of_roofline(layer),
            }
        )
    return frame(rows, COLUMNS)
