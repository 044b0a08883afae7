"""A module that cannot be imported."""

from __future__ import annotations

import glass_that_nobody_has

CrackedDevice = glass_that_nobody_has.Device
