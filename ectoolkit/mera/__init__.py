"""EdgeCortix's MERA compiler and simulators, in a process and a Python of their own.

MERA needs CPython 3.10, torch 1.12 and a TVM of its own, and ends the process on some inputs.  So it never runs in this
one: `place` says where its Python is, `process` starts it, `worker` is what runs there, `session` asks it, `install`
makes such an environment.  Nothing here knows a `Graph`.
"""
