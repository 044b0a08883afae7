"""Graph → deploy directory by EdgeCortix's compiler, for its interpreter, its simulators and the accelerator itself.

`options` checks what was asked, `preflight` refuses what their compiler would die of or get wrong, `source` gives the
TorchScript, `builder` does the rest.
"""
