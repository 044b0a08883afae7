"""A process that does one thing after another for a benchmark, and is ended when one takes too long.

Other toolkits call native code that nothing inside the same process can interrupt.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

#: done with what the process prepared
Job = Callable[[Any], Any]
#: for a process to import torch and prepare, seconds
START_S = 600


class RefusalError(Exception):
    """Why there is no result, in words."""


class Worker:
    """Prepares once in a process of its own, then does jobs with what it prepared."""

    def __init__(self, prepare: Callable[[], Any]) -> None:
        """`prepare` and all jobs are pickled: functions of modules, or partials of them."""
        self._prepare = prepare
        self._process: Any = None
        self._pipe: Connection | None = None

    def do(self, job: Job, limit_s: float, packages: tuple[str, ...] = ()) -> Any:
        """What the job gives; one whose limit passed is ended, and the next gets a new process.

        Args:
            job: gets what was prepared.
            limit_s: wall time that it may take.
            packages: whose absence is a refusal and no failure.

        Raises:
            RefusalError: the limit passed, the process died, a package is missing, or the job raised.
            ModuleNotFoundError: a package is missing that may not be.
        """
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send((job, packages))
        answer = self._answer(limit_s)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._prepare), daemon=True)
        self._process.start()
        theirs.close()  # else its death would go unnoticed
        self._answer(START_S)

    def _answer(self, limit_s: float) -> Any:
        assert self._pipe is not None
        if not self._pipe.poll(limit_s):
            self.close()
            raise RefusalError(f"stopped after {limit_s:g} s")
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self.close()
            raise RefusalError(f"its process died with exit status {code}") from None


def _serve(pipe: Connection, prepare: Callable[[], Any]) -> None:
    """What the process runs."""
    prepared = prepare()
    pipe.send("ready")
    while True:
        job, packages = pipe.recv()
        pipe.send(_done(job, prepared, packages))


def _done(job: Job, prepared: Any, packages: tuple[str, ...]) -> Any:
    try:
        return job(prepared)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        return RefusalError(f"not installed: {missing}") if missing in packages else error
    except Exception as error:  # a toolkit's failure is its row, whatever it is
        return RefusalError(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:160])
