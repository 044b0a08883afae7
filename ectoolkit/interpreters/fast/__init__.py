"""The definition's arithmetic on torch: sums in int8, everything else in exact float64 or integers.

Every module here imports torch; `ectoolkit.interpreters.engines` is the door.
"""
