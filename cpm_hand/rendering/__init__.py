"""Hands made here: procedural, exactly labelled, free to use.

No kernel of this folder may use numba's fastmath: it lets each compilation round in its own way, and picture i of a
seed must have the same bytes on every worker. (Measured: leaving it out costs nothing.)
"""
