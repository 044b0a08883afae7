"""What every stage is: a state, one run at a time, progress, cancel, a result with a table."""

from __future__ import annotations

import enum
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from ectoolkit._notices import hearing, warn
from ectoolkit._optional import telling
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import Cancelled, EctoolkitWarning, StageError
from ectoolkit.workflow.views import render

if TYPE_CHECKING:
    import pandas as pd

    from ectoolkit.workflow.flow import Flow

Result = TypeVar("Result")


class StageState(enum.StrEnum):
    """Where a stage stands."""

    IDLE = "not run"
    RUNNING = "running"
    DONE = "done"
    STALE = "stale"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class StageEvent:
    """What a listener is told.

    Attributes:
        stage: whose event it is.
        kind: ``"state"`` or ``"progress"``.
        done, total: steps, for ``"progress"``; 0 of 0 while a library loads, before there is a step.
        label: of the step at hand.
    """

    stage: Stage[Any]
    kind: str
    done: int = 0
    total: int = 0
    label: str = ""


class Stage(ABC, Generic[Result]):
    """One stage of the flow.

    Attributes:
        number: in the U50 guide.
        title: for people.
        attribute: name of the stage in `Flow`.
        flow: the session.
        settings: arguments of the last run, by name.
        error: of the last run, None where it went well.
        notices: what the last run warned of.
        seconds: that the last good run took.
    """

    number: ClassVar[int]
    title: ClassVar[str]
    attribute: ClassVar[str]
    #: columns that a card shows; all where empty
    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.settings: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.notices: tuple[str, ...] = ()
        self.seconds = 0.0
        self.generation = 0
        self._result: Result | None = None
        self._looks = 0  # how often `table` was made to say more of the same result
        self._frame: tuple[tuple[int, int], pd.DataFrame] | None = None
        self._based_on: dict[str, int] = {}
        self._running = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._listeners: list[Callable[[StageEvent], None]] = []

    # --- for subclasses ------------------------------------------------------------------------------------------

    @property
    def upstream(self) -> Sequence[Stage[Any]]:
        """The stages whose results this one starts from."""
        return ()

    @abstractmethod
    def _run(self, progress: Progress, *arguments: Any, **settings: Any) -> Result:
        """Do the work; `progress` raises `Cancelled` where the user cancelled."""

    @abstractmethod
    def _table(self, result: Result) -> pd.DataFrame:
        """The result as a table."""

    def _decided(self) -> dict[str, Any]:
        """Settings that a run which went well chose by itself, for the session's script."""
        return {}

    # --- running -------------------------------------------------------------------------------------------------

    def run(self, *arguments: Any, **settings: Any) -> Self:
        """Run the stage and keep its result; each stage has a `run` of its own that names its settings.

        Args:
            *arguments: of the stage.
            **settings: of the stage; ``progress`` is called as ``progress(done, total, label)`` and may raise.

        Returns:
            The stage, so that it displays as a card.

        Raises:
            StageError: it is running already, or a stage before it has not run.
            Cancelled: `cancel` was called.
            EctoolkitError: whatever went wrong; the last good result stays.
        """
        return self._start(arguments, settings, settings.pop("progress", None))

    def _start(self, arguments: tuple[Any, ...], settings: dict[str, Any], progress: Progress | None) -> Self:
        """What every `run` does; settings that are None count as left out."""
        settings = {name: value for name, value in settings.items() if value is not None}
        with self._at_work(progress) as report:
            start = time.perf_counter()
            # before the work: a stage that runs again meanwhile, in another thread, must make this result stale
            before = {stage.attribute: stage.generation for stage in self.flow.stages}
            result = self._run(report, *arguments, **settings)
            self._based_on = {stage.attribute: before[stage.attribute] for stage in self.upstream}
            self._result, self.settings = result, settings
            self.seconds = time.perf_counter() - start
            self.generation += 1
            self.flow.record(self, arguments, settings, self._decided())
        return self

    @contextmanager
    def _at_work(self, progress: Progress | None) -> Iterator[Progress]:
        """Hold the stage while something runs: one thing at a time, cancelled by `cancel`, told to listeners."""
        if not self._running.acquire(blocking=False):
            raise StageError(f"{self.title} is running already; wait for it, or call .cancel()")
        try:
            self._cancel.clear()
            self.error, self.notices, self._thread = None, (), threading.current_thread()
            self._tell(StageEvent(self, "state"))
            with telling(self._wait_for), self._noting():
                yield self._reporter(progress)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._thread = None
            self._running.release()
            self._tell(StageEvent(self, "state"))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        with hearing(alone=False) as heard:
            try:
                yield
            finally:
                self.notices = tuple(map(str, heard))

    def _adopt(
        self, result: Result, arguments: tuple[Any, ...], settings: dict[str, Any], notices: tuple[str, ...] = ()
    ) -> Self:
        """Take a result that was made before, as if the stage had run with these arguments and warned of `notices`."""
        if not self._running.acquire(blocking=False):
            raise StageError(f"{self.title} is running; wait for it, or call .cancel()")
        try:
            self.error, self.notices = None, notices
            self._result, self.settings = result, settings
            self.generation += 1
            self.flow.record(self, arguments, settings)
        finally:
            self._running.release()
            self._tell(StageEvent(self, "state"))
        return self

    def cancel(self) -> None:
        """Ask a running stage to stop at its next step; harmless where none runs."""
        self._cancel.set()

    def _wait_for(self, library: str) -> None:
        self._tell(StageEvent(self, "progress", label=f"loading {library}…"))

    def _reporter(self, progress: Progress | None) -> Progress:
        def report(done: int, total: int, label: str) -> None:
            if self._cancel.is_set():
                raise Cancelled(f"{self.title} was cancelled at step {done} of {total} ({label}); nothing was changed")
            self._tell(StageEvent(self, "progress", done, total, label))
            if progress is not None:
                progress(done, total, label)

        return report

    # --- what is known -------------------------------------------------------------------------------------------

    @property
    def state(self) -> StageState:
        """Where the stage stands."""
        if self._running.locked():
            return StageState.RUNNING
        if isinstance(self.error, Cancelled):
            return StageState.CANCELLED
        if self.error is not None:
            return StageState.FAILED
        if self._result is None:
            return StageState.IDLE
        return StageState.STALE if self.stale else StageState.DONE

    @property
    def in_main_thread(self) -> bool:
        """True while the main thread runs the stage: a kernel then hears of an interrupt, and of nothing else."""
        return self._thread is threading.main_thread()

    @property
    def stale(self) -> bool:
        """True where a stage before this one has run again since."""
        changed = any(self._based_on.get(s.attribute) != s.generation or s.stale for s in self.upstream)
        return self._result is not None and changed

    @property
    def result(self) -> Result:
        """What the last good run gave.

        Raises:
            StageError: there was none.
        """
        if self._result is None:
            raise StageError(f"{self.title} has not run; call flow.{self.attribute}.run() first")
        return self._result

    @property
    def ready(self) -> bool:
        """True where there is a result."""
        return self._result is not None

    @property
    def revision(self) -> tuple[int, int]:
        """Another one where `table` may say something else: after a run, and after a measurement that was asked for."""
        return self.generation, self._looks

    @property
    def table(self) -> pd.DataFrame:
        """The result as a DataFrame; its columns are described at the function that makes it."""
        frame = self._frame  # another thread may take it away meanwhile
        if frame is None or frame[0] != self.revision:  # made once: it may take seconds
            self._frame = frame = self.revision, self._table(self.result)
        return frame[1].copy()

    @property
    def overview(self) -> pd.DataFrame:
        """The columns of `table` that a card has room for."""
        table = self.table
        shown = [name for name in self.shown if name in table.columns]
        return table[shown] if shown else table

    def observe(self, listener: Callable[[StageEvent], None]) -> Callable[[], None]:
        """Call `listener` on every event, in the thread that runs the stage; returns what stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _looked(self) -> None:
        """`table` says something else of the same result now: whoever shows it is told."""
        self._looks += 1
        self._tell(StageEvent(self, "state"))

    def _tell(self, event: StageEvent) -> None:
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception as error:  # who watches must not break what is watched
                warn(f"a listener of {self.title} failed: {error!r}", EctoolkitWarning, stacklevel=3)

    def pictures(self) -> Sequence[tuple[str, str]]:
        """Static pictures of the result: a title and HTML each."""
        return ()

    # --- display -------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """One line about the result."""
        return ""

    def answers_html(self) -> str:
        """What the stage was asked besides its run, as HTML; empty for most."""
        return ""

    def __repr__(self) -> str:
        detail = f", {self.summary()}" if self.ready else ""
        return f"{type(self).__name__}({self.state}{detail})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return render(self)
