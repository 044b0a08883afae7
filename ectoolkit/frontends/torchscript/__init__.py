"""Quantized TorchScript, as the U50 guide makes it, to `Graph` and back.

``fuse_model`` → ``get_default_qconfig('fbgemm')`` → ``prepare`` → calibrate → ``convert`` → ``torch.jit.trace``.
`walk` follows the traced modules, `rules` turns one torch operation into nodes, `importer` is the door in.
`plain` brings a graph closer to torch, `writer_rules` turns one node into a module, `writer` is the door out.
"""

from ectoolkit.frontends.torchscript.importer import import_torchscript
from ectoolkit.frontends.torchscript.writer import save_torchscript, to_torchscript

__all__ = ["import_torchscript", "save_torchscript", "to_torchscript"]
