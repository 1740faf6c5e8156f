"""What features are: every claim of the paper, computed, with its controls.

Leaves: no module here imports another.
"""
