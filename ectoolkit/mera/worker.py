"""What runs in the Python that has EdgeCortix's compiler.

This file is never imported here: `ectoolkit.mera.process` sends its text to the other Python, which may be 3.8 or newer
and has no ectoolkit.  It speaks in built-in types alone, arrays as raw bytes; never pickle.  MERA is imported by the
first command that needs it, for that takes seconds.

A request is ``(command, arguments)``; the answer ``("done", result)`` or ``("failed", kind, message, traceback)``.
"""

import contextlib
import glob
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

_PREFIX = "ectoolkit-mera-"
_PACKAGES = ("mera", "mera-tvm-full", "torch", "torchvision", "numpy", "onednn-cpu-gomp")
#: what ``deploy.json`` calls the accelerator's parts of a network
_ACCELERATED = "_mera_main_"
#: what MERA builds in the folder of a target
_BUILT = ("deploy.so", "deploy.json", "deploy.params")


class Worker:
    """The commands.

    Attributes:
        folder: for all files; removed when the process ends.
    """

    def __init__(self, folder):
        self.folder = folder
        self._module = None
        self._accelerated = False

    # --- facts ---------------------------------------------------------------------------------------------------

    def hello(self):
        """Versions and place, without importing anything heavy."""
        versions = {}
        for name in _PACKAGES:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        return {
            "python": platform.python_version(),
            "executable": sys.executable,
            "host": platform.node(),
            "pid": os.getpid(),
            "versions": versions,
            "cpu_flags": _cpu_flags(),
        }

    def echo(self, data):
        """What came, back again: to measure the way."""
        return data

    def platforms(self):
        """Name to architecture of every platform that this MERA knows."""
        import mera

        return {name: member.value for name, member in mera.Platform.__members__.items()}

    def look(self, paths, variables, libraries, patterns):
        """Which paths can be read, variables, why libraries do not load, and what there is for a pattern."""
        return {
            "paths": {path: os.access(path, os.R_OK) for path in paths},
            "variables": {name: os.environ.get(name, "") for name in variables},
            "libraries": {name: _loads(name) for name in libraries},
            "patterns": {pattern: sorted(glob.glob(pattern)) for pattern in patterns},
            "render_nodes": _xilinx_render_nodes(),
        }

    # --- files ---------------------------------------------------------------------------------------------------

    def begin(self, area):
        """An empty folder for files to come."""
        folder = self.folder / area
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def put(self, area, name, data):
        """Append to a file."""
        with open(self.folder / area / name, "ab") as file:
            file.write(data)

    def get(self, area, name, offset, size):
        """Part of a file."""
        with open(self.folder / area / name, "rb") as file:
            file.seek(offset)
            return file.read(size)

    # --- compiling -----------------------------------------------------------------------------------------------

    def compile(self, inputs, target, platform_name, host_arch, config):
        """Compile ``build/model.pt``; what was built lies in ``build`` afterwards.

        ``inputs``: name, shape and dtype of each, shapes NHWC where 4-D.  ``config``: entries of MERA's build config.
        """
        import mera
        from tvm.relay.mera import BuildConfig

        start = time.perf_counter()
        scheduler = {**BuildConfig.default_compiler_config["scheduler_config"], **config.get("scheduler_config", {})}
        area = self.folder / "build"
        with mera.TVMDeployer(str(area / "project"), overwrite=True) as deployer:
            described = {name: (tuple(shape), dtype) for name, shape, dtype in inputs}
            model = mera.ModelLoader(deployer).from_pytorch(str(area / "model.pt"), described)
            deployer.deploy(
                model,
                mera_platform=mera.Platform[platform_name],
                build_config={**config, "scheduler_config": scheduler},
                target=mera.Target[target],
                host_arch=host_arch,
            )
        result = area / "project" / "build" / target / "result"
        for name in _BUILT:
            os.replace(result / name, area / name)
        metrics = json.loads((result / "compile_metrics.json").read_text())
        shutil.rmtree(area / "project")
        return {
            "sizes": {name: (area / name).stat().st_size for name in _BUILT},
            "seconds": time.perf_counter() - start,
            "compile_seconds": float(metrics["compile_time"]),
        }

    def self_test(self):
        """Quantize a small network with the torch that is there, compile it for InterpreterHw, and run it."""
        import torch

        quantization = torch.quantization
        torch.manual_seed(0)
        layers = (quantization.QuantStub(), torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), quantization.DeQuantStub())
        net = torch.nn.Sequential(*layers).eval()
        quantization.fuse_modules(net, [["1", "2"]], inplace=True)
        net.qconfig = quantization.get_default_qconfig("fbgemm")
        x = torch.rand(1, 3, 16, 16)
        quantization.prepare(net, inplace=True)
        net(x)
        quantization.convert(net, inplace=True)
        traced = torch.jit.trace(net, x)
        self.begin("build")
        traced.save(str(self.folder / "build" / "model.pt"))
        image = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
        shapes = [["input0", list(image.shape), "float32"]]
        built = self.compile(shapes, "InterpreterHw", "DNAF200L0003", "x86", {})
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        os.replace(self.folder / "build", self.folder / "run")
        self.load(2)
        found = _unpacked(self.run([_packed(image)])["outputs"][0])
        self.unload()
        expected = traced(x).numpy().transpose(0, 2, 3, 1)
        if found.shape != expected.shape or np.abs(found - expected).max() > 0.1:
            raise RuntimeError("what MERA computed is not what torch computes")
        return {"elements": int(found.size), "compile_seconds": built["compile_seconds"]}

    # --- running -------------------------------------------------------------------------------------------------

    def load(self, device_code):
        """Load what lies in ``run``; `device_code` names the board of an IP deployment to EdgeCortix's runtime."""
        from tvm.contrib.graph_executor import create
        from tvm.runtime import cpu, load_module

        self._module = None
        folder = self.folder / "run"
        program = (folder / "deploy.json").read_text()
        module = create(program, load_module(str(folder / "deploy.so")), cpu())
        module.load_params((folder / "deploy.params").read_bytes())
        # a network without multiplications is left to the host, and its library has nothing of MERA's runtime
        self._accelerated = _ACCELERATED in program
        if self._accelerated:
            module["mera_runtime_init_device"](device_code)
        self._module = module
        return {"outputs": module.get_num_outputs()}

    def unload(self):
        """Free what `load` took."""
        self._module = None
        shutil.rmtree(self.folder / "run", ignore_errors=True)

    def run(self, arrays):
        """Run once; arrays in and out in the layouts of the deployment."""
        module = self._module
        if module is None:
            raise RuntimeError("nothing is loaded")
        for position, array in enumerate(arrays):
            module.set_input(f"input{position}", _unpacked(array))
        module.run()
        outputs = [_packed(module.get_output(index).asnumpy()) for index in range(module.get_num_outputs())]
        metrics = module.get_runtime_metrics() if self._accelerated else []
        return {"outputs": outputs, "metrics": json.loads(json.dumps(metrics))}


def _packed(array):
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}


def _unpacked(parts):
    return np.frombuffer(parts["data"], parts["dtype"]).reshape(parts["shape"])


def _loads(library):
    """Empty where a shared library loads, else why not."""
    import ctypes

    try:
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)
    return ""


def _xilinx_render_nodes():
    """DRM render nodes of Xilinx cards that this user may open."""
    found = []
    for node in sorted(Path("/sys/class/drm").glob("renderD*")):
        vendor = node / "device" / "vendor"
        if vendor.is_file() and vendor.read_text().strip() == "0x10ee" and os.access("/dev/dri/" + node.name, os.R_OK):
            found.append("/dev/dri/" + node.name)
    return found


def _cpu_flags():
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("flags"):
            return [flag for flag in line.partition(":")[2].split() if flag.startswith("avx")]
    return []


def _folder():
    """A new folder; those of workers that were killed are removed."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(_PREFIX + "*"):
        pid = old.name[len(_PREFIX) :].partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _prepare():
    """Make the process one that may die: its output goes to whoever started it, and memory runs out here first."""
    os.dup2(2, 1)
    os.environ.setdefault("TOPHUB_LOCATION", "NONE")  # TVM would try to download schedules
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("mera").setLevel(logging.INFO)
    if not platform.processor():
        platform.processor = platform.machine  # by which MERA knows its host
    with contextlib.suppress(OSError):  # not Linux, or not allowed: then the system chooses
        Path("/proc/self/oom_score_adj").write_text("1000")


def serve(channel):
    """Answer requests until the channel closes."""
    _prepare()
    folder = _folder()
    os.chdir(folder)  # MERA drops drawings of its graphs wherever it is
    worker = Worker(folder)
    try:
        for command, arguments in channel:
            try:
                result = getattr(worker, command)(**arguments)
            except Exception as error:
                channel.send(("failed", type(error).__name__, str(error), traceback.format_exc()))
            else:
                channel.send(("done", result))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined]  # noqa: F821
