"""Sensor values from what XRT itself tells of a board (pyxrt's ``get_info``), for drivers whose files do not tell.

Numbers come as strings.  A missing one is an ``error_msg``, ``"N/A"``, or has ``is_present`` ``"false"``: None here,
with that as the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ectoolkit.devices.sensors import Reading
from ectoolkit.devices.xrt.health import Health

#: XRT's names of places and rails -> the names in `Health`
_PLACES = {"fpga0": "FPGA temperature", "pcb_top_front": "board temperature", "hbm_0": "HBM temperature"}
_RAILS = {"12v_pex": "12 V PEX", "vccint": "VCCINT"}


def fill(health: Health, topics: Mapping[str, str]) -> Health:
    """The same health with what was missing filled in, where XRT knows it.

    Args:
        health: from the driver's files.
        topics: JSON text by topic, from `Board.information`.
    """
    told = {reading.name: reading for reading in _readings(topics)}

    def better(reading: Reading) -> Reading:
        other = told.get(reading.name)
        if reading.value is not None or other is None:
            return reading
        if other.value is not None:
            return other
        return replace(reading, reason=f"{reading.reason}; XRT: {other.reason}")

    return replace(health, readings=tuple(better(reading) for reading in health.readings))


def _readings(topics: Mapping[str, str]) -> Iterator[Reading]:
    thermal, electrical = (_decoded(topics, name) for name in ("thermal", "electrical"))
    for entry in _entries(thermal, "thermals"):
        name = _PLACES.get(str(entry.get("location_id")))
        if name:
            yield _reading(name, "°C", entry, "temp_C")
    if "power_consumption_watts" in electrical:
        yield _reading("power", "W", electrical, "power_consumption_watts")
    for rail in _entries(electrical, "power_rails"):
        name = _RAILS.get(str(rail.get("id")))
        if name:
            yield _reading(name, "V", _part(rail, "voltage"), "volts")
            yield _reading(f"{name} current", "A", _part(rail, "current"), "amps")


def _decoded(topics: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found = json.loads(topics.get(name, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entries(where: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = where.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _part(rail: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = rail.get(name)
    return found if isinstance(found, dict) else {}


def _reading(name: str, unit: str, where: Mapping[str, Any], key: str) -> Reading:
    if "error_msg" in where:
        return Reading(name, None, unit, str(where["error_msg"]))
    if str(where.get("is_present", "true")).lower() == "false":
        return Reading(name, None, unit, "the sensor is not present")
    text = str(where.get(key, "N/A"))
    try:
        return Reading(name, float(text), unit)
    except ValueError:
        return Reading(name, None, unit, f"it says {text!r}")
