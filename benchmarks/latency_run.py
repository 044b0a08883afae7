"""Times every engine's model of one network with a number of threads, in turns: a process of its own for each number.

    python latency_run.py FOLDER THREADS ROUNDS ENGINE...   (``latency.py`` calls this)

Prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

#: runs a round, after one that warms caches and wakes threads
REPEATS = 5
#: seconds between two engines: threads of the last one that spin before they sleep would disturb the next
PAUSE = 0.01
#: seconds before the kernels are timed one by one, and how often each is
SETTLE, PROFILED = 0.5, 20
OWN = "ectoolkit"

Engine = Callable[..., Any]


def main() -> None:
    """Confine this process to so many CPUs, then open, look at and time the engines."""
    folder, threads, rounds, *engines = sys.argv[1:]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = threads
    warnings.simplefilter("ignore")
    # only now: libraries size their thread pools when they are imported
    import numpy as np
    import torch
    from contenders import Contender, Task

    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    with np.load(Path(folder) / "float.npz") as file:
        x, expected = file["x"], file["y"]
    task = Task(None, x, x, int(threads), Path(folder))
    contenders = [Contender(name, partial(opened, OPEN[name], name)) for name in engines]
    facts: dict[str, dict[str, Any]] = {name: {} for name in engines}
    for contender in contenders:
        start = time.perf_counter()
        contender.start(task)
        facts[contender.name]["open_s"] = time.perf_counter() - start
    for number in range(int(rounds)):
        # each is first in turn
        for contender in contenders[number % len(contenders) :] + contenders[: number % len(contenders)]:
            time.sleep(PAUSE)
            contender.time(REPEATS)
    for contender in contenders:
        facts[contender.name] |= described(contender, x, expected)
    if OWN in facts and "refusal" not in facts[OWN]:
        time.sleep(SETTLE)
        facts[OWN]["profile"] = profiled(Path(folder), int(threads))
    print(json.dumps(facts))


def opened(open_engine: Engine, name: str, task: Any) -> Callable[[], Callable[[], Any]]:
    """A contender's preparation: the engine, and before each round a run that is not timed."""
    run = open_engine(task.folder, task.threads)
    RUNS[name] = run
    first = task.images[:1]

    def arrange() -> Callable[[], Any]:
        run(first)
        return partial(run, first)

    return arrange


#: opened engines by name: float32 ``(1, 3, H, W)`` to logits
RUNS: dict[str, Callable[[Any], Any]] = {}


def described(contender: Any, x: Any, expected: Any) -> dict[str, Any]:
    """Times, CPUs in use, and how far the logits are from the float model's."""
    import numpy as np

    if contender.refusal:
        return {"refusal": contender.refusal}
    found = np.concatenate([np.asarray(RUNS[contender.name](image[None])) for image in x])
    noise = float(((found - expected) ** 2).sum())
    return {
        **contender.times(),
        "cpus": sum(contender.cpu_s) / sum(contender.wall_s),
        "sqnr_db": float(10 * np.log10((expected**2).sum() / noise)) if noise else None,
        "top1_as_float": float((found.argmax(1) == expected.argmax(1)).mean()),
        "runs": len(contender.wall_s),
    }


def profiled(folder: Path, threads: int) -> dict[str, Any]:
    """Where the library's time goes: each layer's kernel beside the roofline that the library measures itself."""
    import ectoolkit as ect
    from ectoolkit.analysis.profiles import profile_table

    with ect.open_device("cpu", threads=threads) as device:
        profile = device.profile(ect.load_deployment(folder / "deploy"), runs=PROFILED)
    return {
        "gmac_per_s": profile.roofline.macs_per_s / 1e9,
        "gb_per_s": profile.roofline.bytes_per_s / 1e9,
        "latency_ms": profile.latency_s * 1e3,
        "layers": profile_table(profile).to_dict("records"),
    }


def open_ectoolkit(folder: Path, threads: int) -> Any:
    import ectoolkit as ect
    from ectoolkit.core.deployment import to_layout

    deployment = ect.load_deployment(folder / "deploy")
    device = ect.open_device("cpu", threads=threads).__enter__()
    device.load(deployment)
    [layout] = [tensor.layout for tensor in deployment.manifest.inputs]
    given = once(lambda x: [to_layout(x, layout)])
    return lambda x: device.run_arrays(given(x))[0]


def once(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A photo as an engine wants it, converted when it is first seen: a camera would give it so."""
    kept: dict[int, Any] = {}

    def converted(x: Any) -> Any:
        place = x.ctypes.data  # the photos live as long as the process
        if place not in kept:
            kept[place] = convert(x)
        return kept[place]

    return converted


def channels_last(x: Any) -> Any:
    import torch

    return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)


def open_torch(engine: str, file: str, folder: Path, threads: int) -> Any:
    import torch

    torch.backends.quantized.engine = engine
    module = torch.jit.load(str(folder / file))
    given = once(channels_last)

    def run(x: Any) -> Any:
        torch.backends.quantized.engine = engine
        return module(given(x)).numpy()

    return run


def open_onnxruntime(folder: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(folder / "qdq.onnx"), options, ["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def open_openvino(folder: Path, threads: int) -> Any:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(folder / "openvino.xml", "CPU", settings).create_infer_request()
    return lambda x: request.infer({0: x})[0]


def open_inductor(folder: Path, threads: int) -> Any:
    import torch
    from torch._inductor import config

    config.freezing = True
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / f"inductor_cache_{threads}")
    compiled = torch.compile(torch.export.load(folder / "inductor.pt2").module())
    with torch.no_grad():
        for _ in range(2):
            compiled(torch.zeros(1, 3, 224, 224).contiguous(memory_format=torch.channels_last))
    given = once(channels_last)
    return lambda x: compiled(given(x)).numpy()


OPEN: dict[str, Engine] = {
    "ectoolkit": open_ectoolkit,
    "torch fbgemm": partial(open_torch, "fbgemm", "torch.pt"),
    "torch onednn": partial(open_torch, "onednn", "torch_onednn.pt"),
    "onnxruntime QDQ": open_onnxruntime,
    "OpenVINO (NNCF)": open_openvino,
    "torch inductor (PT2E)": open_inductor,
}

if __name__ == "__main__":
    main()
