"""Every claim of the paper about features, computed, with controls.

Leaves: no module here imports another.
"""
