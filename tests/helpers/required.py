"""What a machine may lack: its tests are skipped there, but fail where ``$ECTOOLKIT_REQUIRE`` names it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def is_required(what: str) -> bool:
    """Whether tests that need `what` must not be skipped."""
    return what in os.environ.get("ECTOOLKIT_REQUIRE", "").split()


def skip(what: str, why: str) -> NoReturn:
    """End a test or fixture that cannot go on here.

    Args:
        what: is missing, a name for ``$ECTOOLKIT_REQUIRE``.
        why: and how to get it.
    """
    if is_required(what):
        pytest.fail(f"{why} (ECTOOLKIT_REQUIRE names {what}, so its tests are not skipped)", pytrace=False)
    pytest.skip(why)
