"""Shared libraries that MERA's compiler asks for and the host lacks, taken from the distribution's archive.

mera-tvm-full 1.6.0 wants GLIBCXX_3.4.32 (libstdc++ of GCC 13), libglog.so.0, libLLVM-14.so.1 and libdnnl.so.2; few
hosts have all.  The loader itself is asked what is missing.  Packages are downloaded with lists and cache of our own
and unpacked, never installed; where libstdc++ is too old, a newer one comes with the libc and the loader it needs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ectoolkit.errors import BuildError
from ectoolkit.mera.install.recipe import DISTRIBUTIONS, Debs, Distribution
from ectoolkit.mera.install.tools import Watch, run_tool

LOADER = "ld-linux-x86-64.so.2"
_TRIPLE = "x86_64-linux-gnu"
_ASKED = ("tvm/libmeratvm.so", "tvm/libmeradna-full.x86.so")
#: ``1`` trusts the host's libc, ``0`` never uses it
VARIABLE = "MERA_USE_HOST_LIBC"


@dataclass(frozen=True)
class Lack:
    """What the loader does not find for MERA's libraries.

    Attributes:
        libraries: names of shared libraries.
        versions: symbol versions that the libraries found are too old for.
    """

    libraries: frozenset[str]
    versions: frozenset[str]


@dataclass(frozen=True)
class Folders:
    """Where libraries go.

    Attributes:
        runtime: a libc with its loader, and libstdc++; empty where the host's do.
        extra: everything else.
        work: for downloads; removed afterwards.
    """

    runtime: Path
    extra: Path
    work: Path

    @property
    def private(self) -> bool:
        """Whether the private loader is used."""
        return (self.runtime / LOADER).exists()

    def search_path(self) -> list[str]:
        """For the loader, private ones first."""
        system = [f"/usr/lib/{_TRIPLE}", f"/lib/{_TRIPLE}"]
        return [str(self.runtime), str(self.extra), *system] if self.private else [str(self.extra)]


def complete(packages: Path, folders: Folders, watch: Watch) -> None:
    """Bring what is missing.

    Args:
        packages: the environment's site-packages.
        folders: to fill; emptied first.
        watch: told what is going on.

    Raises:
        BuildError: the host has no apt, no mirror answers, or something is missing even then.
    """
    for folder in (folders.runtime, folders.extra, folders.work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for library in (packages.parents[1] / "lib", packages.parents[1]):
        for found in library.glob("libdnnl.so*"):
            shutil.copy2(found, folders.extra, follow_symlinks=False)
    lack = lacking(packages, folders)
    choice = os.environ.get(VARIABLE, "")
    private = choice == "0" or (bool(lack.versions) and choice != "1")
    if private or lack.libraries:
        archive = _Archive(folders.work, watch)
        if private:
            archive.unpack(archive.distribution.runtime, folders.runtime)
            lack = lacking(packages, folders)
        if any("glog" in name for name in lack.libraries):
            archive.unpack(archive.distribution.glog, folders.extra)
        if any("LLVM" in name for name in lack.libraries):
            archive.unpack(archive.distribution.llvm, folders.extra)
        lack = lacking(packages, folders)
    shutil.rmtree(folders.work)
    if lack.libraries or lack.versions:
        raise BuildError(
            f"MERA's libraries still lack {', '.join(sorted(lack.libraries | lack.versions))}. Install packages that "
            "have them, or use MERA on another machine: ectoolkit mera use ssh=user@host//python=/path/to/python"
        )


def lacking(packages: Path, folders: Folders) -> Lack:
    """Ask the loader that will be used."""
    libraries, versions = set(), set()
    own = str(folders.runtime / LOADER)
    for name in _ASKED:
        path = str(packages / name)
        if folders.private:
            command = [own, "--library-path", ":".join(folders.search_path()), "--list", path]
        else:
            command = ["ldd", path]
        environment = {**os.environ, "LD_LIBRARY_PATH": "" if folders.private else ":".join(folders.search_path())}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        text = done.stdout + done.stderr
        libraries |= set(re.findall(r"^\s*(\S+) => not found", text, re.MULTILINE))
        libraries |= set(re.findall(r"libraries: (\S+): cannot open shared object", text))
        versions |= set(re.findall(r"version `([^']+)' not found", text))
    return Lack(frozenset(libraries), frozenset(versions))


class _Archive:
    """The host's own package archive, read with lists and a cache of our own."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch
        release = platform.freedesktop_os_release()
        names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
        known = [name for name in names if name in DISTRIBUTIONS]
        missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if not known or missing:
            raise BuildError(
                f"this system ({release.get('PRETTY_NAME', 'unknown')}) has not all libraries that MERA asks for, and "
                "ectoolkit can bring them on Debian and Ubuntu alone, with apt-get and dpkg-deb. Use MERA on another "
                "machine or in a container: ectoolkit mera use ssh=user@host//python=/path/to/python"
            )
        self.distribution: Distribution = DISTRIBUTIONS[known[0]]
        self.mirror = _mirror(release.get("VERSION_CODENAME", ""))

    def unpack(self, debs: Debs, into: Path) -> None:
        """Download packages and take their shared libraries."""
        work = self.folder / debs.suite
        for name in ("lists/partial", "cache/archives/partial", "debs"):
            (work / name).mkdir(parents=True, exist_ok=True)
        options = self._options(work, debs.suite)
        self.watch(f"package lists of {debs.suite}")
        run_tool(
            ["apt-get", *options, "-qq", "update"], doing=f"reading the package lists of {debs.suite}", watch=self.watch
        )
        self.watch(f"packages of {debs.suite}: {', '.join(debs.packages)}")
        run_tool(
            ["apt-get", *options, "-qq", "download", *debs.packages],
            doing=f"downloading packages of {debs.suite}",
            watch=self.watch,
            folder=work / "debs",
        )
        unpacked = work / "unpacked"
        for package in sorted((work / "debs").glob("*.deb")):
            run_tool(["dpkg-deb", "-x", package, unpacked], doing=f"unpacking {package.name}", watch=self.watch)
        for library in (unpacked / "usr" / "lib" / _TRIPLE, unpacked / "lib" / _TRIPLE):
            for found in library.glob("*.so*") if library.is_dir() else ():
                shutil.copy2(found, into, follow_symlinks=False)
        shutil.rmtree(work)

    def _options(self, work: Path, suite: str) -> list[str]:
        source = work / "sources.list"
        keyring = self.distribution.keyring
        source.write_text(f"deb [signed-by={keyring}] {self.mirror} {suite} {self.distribution.components}\n")
        (work / "status").write_text("")
        settings = {
            "Dir::Etc::sourcelist": source,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": work / "lists",
            "Dir::State::status": work / "status",
            "Dir::Cache": work / "cache",
            "APT::Architecture": "amd64",
            "APT::Get::List-Cleanup": "0",
            "APT::Sandbox::User": "root",  # the folder need not be readable for apt's own user
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::Check-Valid-Until": "false",  # suites that no longer change are not signed anew
        }
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _mirror(codename: str) -> str:
    """The archive that this system takes its packages from."""
    done = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False)
    for address, suite in re.findall(r"'(\S+)/dists/([^/]+)/InRelease'", done.stdout):
        if suite == codename:
            return str(address)
    raise BuildError(
        f"apt's configuration names no archive for {codename or 'this system'}, from which missing libraries could be "
        "taken. Add the distribution's own archive to /etc/apt/sources.list"
    )
