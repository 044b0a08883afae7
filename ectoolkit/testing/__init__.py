"""What tests of ectoolkit, of its plugins and of new devices share.

`strategies` makes random graphs with hypothesis, which is imported there only.
"""
