"""What can be made to go wrong on the virtual board."""

from __future__ import annotations

import errno
from enum import StrEnum


class Fault(StrEnum):
    """One kind of failure; the value is what people call it."""

    NOT_PERMITTED = "not permitted"
    WRONG_SHELL = "wrong shell"
    IN_USE = "in use"
    HUNG_UNIT = "hung unit"
    UNSIGNED = "unsigned"
    NO_MANAGEMENT = "no management"
    NO_MEMORY = "no memory"
    HANG = "hang"
    ERROR = "error"
    LOST_COMPLETION = "lost completion"
    WRONG_RESULT = "wrong result"


#: errno by fault, where the driver refuses the request at once
OPEN_ERRORS = {Fault.NOT_PERMITTED: errno.EACCES}
LOAD_ERRORS = {
    Fault.WRONG_SHELL: errno.EOPNOTSUPP,
    Fault.IN_USE: errno.EBUSY,
    Fault.HUNG_UNIT: errno.EDEADLK,
    Fault.UNSIGNED: errno.EKEYREJECTED,
    Fault.NO_MANAGEMENT: errno.ETIMEDOUT,
}
CREATE_ERRORS = {Fault.NO_MEMORY: errno.ENOMEM}
