"""Tables and a plot of ``latency.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

#: what the others are divided by
BASE = "torch fbgemm"


def ratio(rows: dict[str, dict[str, Any]], engine: str, which: str) -> float | None:
    """An engine's time divided by that of torch's fbgemm in the same run."""
    key = f"wall_{which}_ms"
    if key not in rows[engine] or key not in rows.get(BASE, {}):
        return None
    return rows[engine][key] / rows[BASE][key]


def latency_table(model: str, threads: int, rows: dict[str, dict[str, Any]]) -> Table:
    """One row an engine."""
    table = Table(title=f"{model}, {threads} thread{'s' if threads > 1 else ''}: int8, batch 1, 224×224")
    titles = ("engine", "min ms", "median ms", "ratio min", "ratio median", "CPUs used", "SQNR dB", "top-1 as float")
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    refused = {engine: row["refusal"] for engine, row in rows.items() if "refusal" in row}
    for engine, row in rows.items():
        if engine in refused:
            table.add_row(engine, *["–"] * (len(titles) - 1))
            continue
        ratios = (ratio(rows, engine, which) for which in ("min", "median"))
        table.add_row(
            engine,
            f"{row['wall_min_ms']:.2f}",
            f"{row['wall_median_ms']:.2f}",
            *("–" if value is None else f"{value:.2f}" for value in ratios),
            f"{row['cpus']:.2f}",
            "–" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
            f"{row['top1_as_float']:.0%}",
        )
    table.caption = "\n".join(f"{engine}: {reason}" for engine, reason in refused.items())
    return table


def layer_table(model: str, threads: int, profile: dict[str, Any]) -> Table:
    """Where our time goes, one row a kernel, the one that loses most against the roofline first."""
    table = Table(title=f"{model}, {threads} thread{'s' if threads > 1 else ''}: our kernels beside the roofline")
    for index, title in enumerate(("layer", "µs", "share", "GMAC/s", "GB/s", "bound by", "of roofline", "lost µs")):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    layers = profile["layers"]
    for row in sorted(layers, key=lost_us, reverse=True):
        table.add_row(
            row["layer"],
            f"{row['time_us']:.1f}",
            f"{row['share']:.1%}",
            f"{row['gmac_per_s']:.0f}",
            f"{row['gb_per_s']:.0f}",
            row["bound"],
            f"{row['of_roofline']:.0%}",
            f"{lost_us(row):.0f}",
        )
    total = sum(row["time_us"] for row in layers) / 1e3
    least = total - sum(map(lost_us, layers)) / 1e3
    table.caption = (
        f"{total:.2f} ms in kernels of {profile['latency_ms']:.2f} ms a run; the roofline of "
        f"{profile['gmac_per_s']:.0f} GMAC/s and {profile['gb_per_s']:.0f} GB/s allows {least:.2f} ms, "
        f"{least / total:.0%}"
    )
    return table


def lost_us(row: dict[str, Any]) -> float:
    """Microseconds that a layer takes beyond what the roofline allows."""
    return float(row["time_us"] * (1 - row["of_roofline"]))


def build_table(facts: dict[str, dict[str, dict[str, Any]]]) -> Table:
    """What making and opening a model takes, and what is on disk."""
    table = Table(title="building: quantized graph to a library in memory; files on disk")
    for index, title in enumerate(("model", "engine", "import s", "compile s", "export s", "open s", "files MB")):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for model, engines in facts.items():
        for engine, fact in engines.items():
            keys = ("import_s", "compile_s", "export_s", "open_s")
            cells = [f"{fact[key]:.1f}" if key in fact else "–" for key in keys]
            table.add_row(model, engine, *cells, f"{fact['size_mb']:.1f}" if "size_mb" in fact else "–")
    return table


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Bars of the ratios, a panel for each network and number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(3.2 * len(results), 3.4), sharey=True, squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        rows = result["engines"]
        found = {engine: ratio(rows, engine, "min") for engine in reversed(rows)}
        shown = {engine: value for engine, value in found.items() if value is not None}
        colours = ["tab:orange" if engine == "ectoolkit" else "tab:blue" for engine in shown]
        bars = axis.barh(list(shown), list(shown.values()), color=colours)
        axis.bar_label(bars, fmt="%.2f", padding=2)
        axis.set_xlim(0, max([1.2, *(value * 1.2 for value in shown.values())]))
        axis.set_title(f"{result['model']}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}", size=9)
        axis.set_xlabel(f"least time / that of {BASE}", size=8)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
