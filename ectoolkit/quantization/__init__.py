"""Float model + calibration images → integer `Graph`.

Promises: the user's module is never changed; the grids come from the given images alone; everything that decided them
is in the result.  Must never run on a device.

`eager` is the U50 guide's flow for modules with QuantStubs (torchvision's quantizable models and one's own).
"""
