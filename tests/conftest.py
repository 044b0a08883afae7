"""What every test shares: torch's own announcements that no test can act on."""

from __future__ import annotations

import hypothesis
import pytest


def pytest_configure(config: pytest.Config) -> None:
    # torch's C++ code says once a process that quantized tensors will be removed; models made by this flow need them.
    config.addinivalue_line("filterwarnings", "ignore:.*other quantized tensor creation functions.*")


# how long an example takes says nothing on a busy machine; pytest's timeout still ends what hangs
hypothesis.settings.register_profile("ectoolkit", deadline=None)
hypothesis.settings.load_profile("ectoolkit")
