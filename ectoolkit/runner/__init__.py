"""The C++ program `inference`: a deploy directory run with TVM's runtime alone.

Promises: the program needs no Python where it runs, only the libraries that the apache-tvm wheels ship. It
checks every byte that it uses against the manifest, compares every element without a tolerance, and says by
its exit status whether the result is equal (0), different (1) or could not be had (2). It is compiled once
for each version of its sources and of TVM, and kept.

Must never: import torch or tvm (the wheels are found, not loaded); ship a binary; leave half a file behind.
"""

from ectoolkit.runner.build import build_runner, runner_path
from ectoolkit.runner.run import run_inference

__all__ = ["build_runner", "run_inference", "runner_path"]
