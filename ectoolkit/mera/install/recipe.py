"""What goes into an environment for MERA 1.6, and how large it is.

Sizes are what was downloaded once, in MB; they are for people and for progress bars.
"""

from __future__ import annotations

from dataclasses import dataclass

#: changes whenever a step must be done again in an environment that an older ectoolkit made
VERSION = 1
PYTHON = (3, 10)
#: installed alone and first: it is most of the download
TORCH = "torch==1.12.1"
#: MERA's compiler is an extension for one Python and one TVM; onednn brings libdnnl.so.2
MERA = (
    "mera==1.6.0.post1",
    "mera-tvm-full==1.6.0",
    "mera-tvm-internal==1.6.0",
    "torchvision==0.13.1",
    "onednn-cpu-gomp==2022.0.2",
)
#: what these and torch declare that they need, torch itself aside
NEEDED = (
    "numpy==1.23.5",
    "scipy<1.16",
    "pandas<2.4",
    "matplotlib<3.11",
    "seaborn<0.14",
    "synr==0.6.0",
    "setuptools<66",
    "PyYAML",
    "attrs",
    "cloudpickle",
    "decorator",
    "pillow",
    "psutil",
    "pytest",
    "requests",
    "tornado",
    "tqdm",
    "typing_extensions",
)
TORCH_MB, PACKAGES_MB, DEBS_MB = 776, 186, 75
#: what the folder holds in the end, and at most while torch is unpacked
FINAL_MB, PEAK_MB = 2700, 3600


@dataclass(frozen=True)
class Debs:
    """Packages of one suite of a distribution.

    Attributes:
        suite: its name in the archive.
        packages: names.
    """

    suite: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """Where a distribution has what MERA's libraries ask for.

    Attributes:
        runtime: libc, its loader, libstdc++ and libgomp, new enough.
        glog: libglog.so.0 and what it needs.
        llvm: libLLVM-14.so.1 and what it needs.
        components: of the archive.
        keyring: with which the archive is signed.
    """

    runtime: Debs
    glog: Debs
    llvm: Debs
    components: str
    keyring: str


_RUNTIME = ("libc6", "libstdc++6", "libgcc-s1", "libgomp1")
_GLOG = ("libgoogle-glog0v5", "libgflags2.2", "libunwind8")
_LLVM = ("libllvm14", "libffi8", "libedit2", "libbsd0", "libmd0", "libtinfo6", "libxml2", "liblzma5")
DISTRIBUTIONS = {
    "debian": Distribution(
        Debs("trixie", _RUNTIME),
        Debs("bullseye", _GLOG),
        Debs("bookworm", (*_LLVM, "libicu72", "libz3-4", "zlib1g")),
        "main",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
    "ubuntu": Distribution(
        Debs("noble", _RUNTIME),
        Debs("jammy", _GLOG),
        Debs("jammy", (*_LLVM, "libicu70", "zlib1g")),
        "main universe",
        "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    ),
}
