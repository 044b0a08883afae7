"""The virtual board's memory: one shared file without a name, which the driver's library maps too."""

from __future__ import annotations

import errno
import mmap
import os
from bisect import insort

import numpy as np

from ectoolkit.testing.virtual_u50.facts import BANK_BYTES, BANKS


class DeviceMemory:
    """32 banks of 256 MiB; only what is touched takes memory of this machine.

    Attributes:
        descriptor: of the shared file.
        size_bytes: of all banks.
    """

    def __init__(self) -> None:
        self.size_bytes = BANKS * BANK_BYTES
        self.descriptor = os.memfd_create("ectoolkit-virtual-u50", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, self.size_bytes)
        self._bytes = mmap.mmap(self.descriptor, self.size_bytes)
        self._taken: list[tuple[int, int]] = []

    def allocate(self, bank: int, size_bytes: int) -> int:
        """Address of fresh, zeroed memory in a bank, at the first place where it fits; whole pages, as the driver.

        Raises:
            OSError: EINVAL for a bank that is not there, ENOMEM where there is no room.
        """
        if not 0 <= bank < BANKS:
            raise OSError(errno.EINVAL, f"there is no bank {bank}")
        size_bytes += -size_bytes % mmap.PAGESIZE
        address, end = bank * BANK_BYTES, (bank + 1) * BANK_BYTES
        for start, size in self._taken:
            if start + size <= address:
                continue
            if start >= address + size_bytes:
                break
            address = start + size
        if address + size_bytes > end:
            raise OSError(errno.ENOMEM, f"bank {bank} has no room for {size_bytes} bytes")
        insort(self._taken, (address, size_bytes))
        return address

    def free(self, address: int) -> None:
        """Give memory back to the bank, and to this machine."""
        found = next((entry for entry in self._taken if entry[0] == address), None)
        if found is None:
            raise OSError(errno.ENOENT, f"nothing is allocated at {address:#x}")
        self._taken.remove(found)
        self._bytes.madvise(mmap.MADV_REMOVE, found[0], found[1])

    def used_bytes(self) -> int:
        """Of all buffers."""
        return sum(size for _, size in self._taken)

    def usage(self) -> list[tuple[int, int]]:
        """Bytes in use and number of buffers, bank by bank."""
        found = [(0, 0)] * BANKS
        for address, size in self._taken:
            used, count = found[address // BANK_BYTES]
            found[address // BANK_BYTES] = (used + size, count + 1)
        return found

    def view(self, address: int, count: int, dtype: str) -> np.ndarray:
        """`count` elements at an address, as a kernel sees them: nothing is copied.

        Raises:
            ValueError: they do not lie within one buffer; a real kernel would trip the firewall.
        """
        size = count * np.dtype(dtype).itemsize
        taken = tuple(self._taken)  # other programs allocate and free meanwhile
        if not any(start <= address and address + size <= start + length for start, length in taken):
            raise ValueError(f"a kernel reached for {size} bytes at {address:#x}, outside any buffer")
        return np.frombuffer(self._bytes, dtype, count, address)
