"""Libraries that take seconds: who waits is told, and facts do without them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from ectoolkit._optional import require, require_installed, telling
from ectoolkit.errors import MissingDependencyError
from ectoolkit.workflow import Flow, Stage, StageEvent

LIBRARY = "colorsys"  # small, and nobody else's


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delitem(sys.modules, LIBRARY, raising=False)
    yield
    sys.modules.pop(LIBRARY, None)


@pytest.mark.usefixtures("unloaded")
def test_the_wait_for_a_library_is_told_once_and_to_its_own_thread() -> None:
    told: list[str] = []
    with telling(told.append):
        other = threading.Thread(target=require, args=(LIBRARY,), kwargs={"feature": "This test"})
        other.start()
        other.join()
        assert told == []
        del sys.modules[LIBRARY]
        require(LIBRARY, feature="This test")
        require(LIBRARY, feature="This test")
    assert told == [LIBRARY]
    del sys.modules[LIBRARY]
    require(LIBRARY, feature="This test")
    assert told == [LIBRARY]


class Waiting(Stage[int]):
    number, title, attribute = 7, "Wait", "wait"

    def _run(self, progress: object, *arguments: object, **settings: object) -> int:
        return len(require(LIBRARY, feature="Waiting").__name__)

    def _table(self, result: int) -> None: ...  # type: ignore[override]


@pytest.mark.usefixtures("unloaded")
def test_a_stage_tells_what_it_waits_for() -> None:
    heard: list[StageEvent] = []
    stage = Waiting(Flow(object()))
    stage.observe(heard.append)
    stage.run()
    assert [event.label for event in heard if event.kind == "progress"] == [f"loading {LIBRARY}…"]
    assert all(event.total == 0 for event in heard)


def test_a_library_is_looked_for_without_being_loaded() -> None:
    sys.modules.pop(LIBRARY, None)
    require_installed(LIBRARY, feature="This test")
    assert LIBRARY not in sys.modules
    with pytest.raises(MissingDependencyError) as caught:
        require_installed("no_such_name", feature="This test")
    assert str(caught.value) == (
        "This test needs no_such_name, which is not installed. Install it with: pip install no_such_name"
    )
