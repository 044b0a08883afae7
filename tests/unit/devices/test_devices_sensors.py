"""Sensors are sampled beside a run and never end it; a list of devices tells what each says of itself."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ectoolkit.devices import DeviceHealth, DeviceInfo, Latency, Reading, health_of, list_health, sampling
from ectoolkit.errors import DeviceError
from ectoolkit.testing.faulty_device import FaultyDevice, planted
from ectoolkit.workflow.preflight import device_state


def test_sampling_begins_and_ends_with_the_block() -> None:
    told = iter(range(1000))
    with sampling(lambda: [Reading("power", float(next(told)), "W")], "invented", period_s=0.01) as found:
        time.sleep(0.1)
    assert found.values["power"][:2] == [0.0, 1.0]
    assert len(found.values["power"]) == len(found.seconds) >= 3
    assert found.seconds == sorted(found.seconds)
    assert (found.units, found.notice, found.trouble) == ({"power": "W"}, "invented", "")
    assert repr(found).startswith("SensorTrace(power; ")


def test_a_device_without_sensors_has_an_empty_trace() -> None:
    with sampling(lambda: []) as found:
        pass
    assert (found.seconds, found.values) == ([], {})
    assert repr(found) == "SensorTrace(no sensor; 0 samples)"


def test_a_sensor_that_fails_ends_the_sampling_and_not_the_run() -> None:
    def read() -> list[Reading]:
        raise DeviceError("the board is gone")

    with sampling(read) as found:
        pass
    assert found.trouble == "the board is gone"


def test_a_plugin_may_fail_in_any_way() -> None:
    """While it is sampled, and in a list of all devices."""
    told = iter([[Reading("power", 1.0, "W")]])
    with sampling(lambda: next(told), period_s=60) as found:
        pass
    assert (found.values, found.trouble) == ({"power": [1.0]}, "its sensors failed: StopIteration()")
    with sampling(lambda: [20.0]) as found:  # type: ignore[list-item]
        pass
    assert found.trouble == "its sensors failed: AttributeError(\"'float' object has no attribute 'name'\")"
    assert (found.seconds, found.values) == ([], {})


def test_a_sensor_that_comes_later_has_no_value_before() -> None:
    with sampling(lambda: []) as found:
        pass
    found.add(0.0, [Reading("power", 1.0, "W")])
    found.add(0.1, [Reading("power", None, "W", "busy"), Reading("heat", 40.0, "°C")])
    assert found.values == {"power": [1.0, None], "heat": [None, 40.0]}
    found.add(0.2, [Reading("heat", 41.0, "°C")])  # and one that is gone has none after, nor others its place
    found.add(0.3, [Reading("power", 2.0, "W"), Reading("heat", 42.0, "°C")])
    assert found.values == {"power": [1.0, None, None, 2.0], "heat": [None, 40.0, 41.0, 42.0]}
    assert len(found.seconds) == 4


def test_health_in_words() -> None:
    away = DeviceHealth(DeviceInfo("xrt:0", "a board", False, "no driver is bound"))
    assert str(away) == "xrt:0: not ready · no driver is bound"
    here = DeviceHealth(
        DeviceInfo("b", "a board", True), (Reading("power", 20.0, "W"), Reading("fan", None, "rpm", "?"))
    )
    assert str(here) == "b: ready · 20 W"
    assert health_of(away.info) == away


def test_every_device_tells_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    with planted(None):
        found = {one.info.name: one for one in list_health()}
        assert found["faulty"].readings == (Reading("power", 20.0, "W"),)
        assert found["faulty"].notice == "invented: this device is a program with a planted fault"
        assert found["cpu"].readings[0].name == "load"
        monkeypatch.setattr(FaultyDevice, "sensors", lambda _: (_ for _ in ()).throw(DeviceError("it does not answer")))
        lost = next(one for one in list_health() if one.info.name == "faulty")
        monkeypatch.setattr(FaultyDevice, "sensors", lambda _: 1 // 0)
        broken = next(one for one in list_health() if one.info.name == "faulty")
    assert (lost.readings, lost.trouble) == ((), "it does not answer")
    assert broken.trouble == "its sensors failed: ZeroDivisionError('integer division or modulo by zero')"


def test_the_device_that_is_given_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not another one of its name, opened without its options."""

    class Chosen(FaultyDevice):
        def sensors(self) -> tuple[Reading, ...]:
            return (Reading("power", 7.0, "W"),)

    with planted(None):
        assert device_state(Chosen()) == "a device with a planted fault: none · power: 7 W"


def test_latency_keeps_each_run() -> None:
    seconds = [float(number) for number in range(1, 101)]
    found = Latency.of(seconds)
    assert (found.runs, found.seconds) == (100, tuple(seconds))
    assert (found.p50_s, found.p95_s, found.p99_s) == tuple(np.percentile(seconds, [50, 95, 99]))
    assert np.isnan(Latency(3, 1.0, 1.0, 1.0).p95_s)
