"""What the virtual board says it is; sensor values are invented, and each place that shows them says so."""

from __future__ import annotations

#: on no real machine: a bus number that PCIe hardware does not reach
BDF = "0000:e0:00.1"
MANAGEMENT_BDF = "0000:e0:00.0"
#: not the name of a real shell, so that no xclbin is taken for one of a real board
PLATFORM = "ectoolkit_u50_virtual_1"
BANKS = 32
BANK_BYTES = 256 * 1024 * 1024
CLOCKS_MHZ = (("DATA_CLK", "data", 300), ("KERNEL_CLK", "kernel", 500), ("hbm_aclk", "system", 450))
NOTICE = "virtual board: sensor values are invented"
IDLE_WATTS, BUSY_WATTS = 12.0, 31.0
CORE_CELSIUS, HBM_CELSIUS = 41, 44
XRT_VERSION = "2.13.466"
RENDER_NODE = "renderD128"
