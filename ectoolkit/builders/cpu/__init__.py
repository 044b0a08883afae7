"""Graph → Relax module → deploy.so, for the CPU.

Promises: the library gives the interpreter's result in every element, on every CPU that has the manifest's features;
the Relax module can be read, and a table says what each layer became.

`importer` makes the Relax module from `lowering`'s choice of kernel for each layer, `compiler` makes the library,
`program` is its calling convention, `runtime` loads and runs it.
"""
