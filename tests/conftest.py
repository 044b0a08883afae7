"""What every test shares: torch's own announcements that no test can act on."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # torch's C++ code says once a process that quantized tensors will be removed; models made by this flow need them.
    config.addinivalue_line("filterwarnings", "ignore:.*other quantized tensor creation functions.*")
