"""TVMScript templates: one function makes one kernel for one shape.

Every kernel works on flat views of NHWC tensors and is exact: it must give the interpreter's result in every element.
Three rules keep it so, wherever a kernel meets real numbers or wide integers:

* TVM lets LLVM fuse a float multiplication and the addition after it into one rounding.  So a clamp stands between the
  two, or both are exact in float64, or the fused one is what is asked for (``llvm.fma``) and proved when lowering;
* int32 sums never leave int32 (the verifier proves it), because TVM tells LLVM that they do not;
* a kernel allocates one block buffer at its top even where it needs none, because Relax's analysis of two
  single-input kernels without a block fails.
"""
