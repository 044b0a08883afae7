"""From somebody's model to our `Graph`.

A frontend promises a verified graph in hardware form, with the layers' own names, or an error that names the
operation, the layer and the remedy.  It must never drop or approximate an operation silently.
"""
