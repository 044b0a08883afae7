"""The six stages of the U50 guide, one a file."""
