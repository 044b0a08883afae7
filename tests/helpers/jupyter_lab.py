"""One JupyterLab on the loopback, with a configuration of its own, and one kernel that all notebooks share.

Starting a kernel and importing torch in it costs more than most tests, so notebooks are attached to the one that is
there.  `Lab.value` asks that kernel past the page: what the page shows is compared with what Python has.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    # every cell is in the page from the start, as in Notebook 7
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


class Lab:
    """A running JupyterLab.

    Attributes:
        url: where it answers, without a slash at the end.
        token: what it asks for.
        folder: where its notebooks are.
        kernel: id of the shared kernel.
    """

    def __init__(self, url: str, token: str, folder: Path, runtime: Path) -> None:
        self.url, self.token, self.folder = url, token, folder
        self.kernel: str = self.ask("/api/kernels", {"name": "python3"})["id"]
        self._client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{self.kernel}.json"))
        self._client.load_connection_file()
        self._client.start_channels(hb=False)  # a kernel that is busy starting misses heartbeats, and is no dead one
        self._client.wait_for_ready(timeout=START_SECONDS)

    def ask(self, path: str, data: Any = None) -> Any:
        """The server's answer to GET, or to POST where there is `data`."""
        request = urllib.request.Request(
            self.url + path,
            None if data is None else json.dumps(data).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def write(self, name: str, cells: Sequence[str], folder: str = "") -> str:
        """Write a notebook of code cells and attach it to the kernel; returns its path in the server."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        path = f"{folder}/{name}.ipynb" if folder else f"{name}.ipynb"
        (self.folder / path).parent.mkdir(exist_ok=True)
        nbformat.write(notebook, self.folder / path)
        self.attach(path)
        return path

    def attach(self, path: str) -> None:
        """Let the notebook at `path` use the shared kernel when it is opened."""
        self.ask("/api/sessions", {"path": path, "type": "notebook", "name": path, "kernel": {"id": self.kernel}})

    def run(self, code: str, timeout: float = 60) -> str:
        """Run code in the kernel, past the page; returns what it printed, raises what it raised."""
        printed: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        answer = self._client.execute_interactive(
            code, timeout=timeout, output_hook=hear, store_history=False, allow_stdin=False
        )
        if answer["content"]["status"] != "ok":
            raise RuntimeError(f"in the kernel: {answer['content'].get('ename')}: {answer['content'].get('evalue')}")
        return "".join(printed)

    def value(self, expression: str, timeout: float = 60) -> Any:
        """The value of an expression in the kernel, where its ``repr`` is a Python literal."""
        return ast.literal_eval(self.run(f"print(repr({expression}))", timeout))

    def forget(self) -> None:
        """Close the kernel's widgets and drop its variables, so that the next notebook does not load them."""
        self.run("import ipywidgets; ipywidgets.Widget.close_all(); get_ipython().run_line_magic('reset', '-sf')")

    def close(self) -> None:
        """Leave the kernel to the server."""
        self._client.stop_channels()


@contextmanager
def jupyter_lab(folder: Path, threads: int = 1) -> Iterator[Lab]:
    """A JupyterLab that keeps everything in `folder`.

    Args:
        folder: an empty directory; notebooks go to ``folder/notebooks``.
        threads: cores that the kernel's libraries may use.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it printed.
    """
    notebooks, log = folder / "notebooks", folder / "lab.log"
    notebooks.mkdir()
    (folder / "config" / "labconfig").mkdir(parents=True)
    overrides = folder / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.write_text(json.dumps(SETTINGS), encoding="utf-8")
    port, token = _free_port(), secrets.token_hex(16)
    with log.open("w") as output:
        server = subprocess.Popen(_command(folder, port, token), env=_environment(folder, threads), cwd=notebooks,
                                  stdout=output, stderr=subprocess.STDOUT)  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(server, f"{url}/api/status?token={token}", log)
        lab = Lab(url, token, notebooks, folder / "runtime")
        yield lab
        lab.close()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _command(folder: Path, port: int, token: str) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}",
        f"--LabApp.user_settings_dir={folder / 'settings'}",
        "--LabApp.extension_manager=readonly",  # the other one asks PyPI
        "--LabApp.expose_app_in_browser=True",  # window.jupyterapp
        "--LanguageServerManager.autodetect=False",
    ]


def _environment(folder: Path, threads: int) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(threads),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not answer; it printed\n{log.read_text(errors='replace')}")
