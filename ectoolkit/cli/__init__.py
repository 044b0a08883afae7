"""The command line: what needs no notebook.

Promises: a command does nothing that a script cannot do with the same public objects; an error is one message on
standard error and exit status 2; ``--help`` loads no numpy, torch or tvm.  Must never hold logic of its own beyond
reading arguments and printing.
"""
