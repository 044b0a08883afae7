"""Rewrites from graph to graph, one a file.

A pass says what it requires, does its rewrite, and says what it ensures; the verifier runs after every pass.
"""
