"""What is said of every run that a remote device lost, and whether the next one is right."""

from __future__ import annotations

from typing import Any

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.rpc.device import RpcDevice

AGAIN = "The next call connects again"
LOOK = "where that fails, look at `ectoolkit device serve` there"
WHAT = "run residual"


def reference(deployment: Deployment) -> list[Any]:
    with ect.open_device("interpreter") as device:
        return device.run(deployment).outputs


def equal(device: RpcDevice, deployment: Deployment) -> bool:
    return bool(ect.compare(device.run(deployment).outputs, reference(deployment)))
