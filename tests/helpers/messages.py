"""What tests of messages share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ectoolkit.errors import EctoolkitError


def message_of(call: Callable[[], object], kind: type[EctoolkitError]) -> str:
    """The whole text of the error that a call raises, which is of this very kind."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)
