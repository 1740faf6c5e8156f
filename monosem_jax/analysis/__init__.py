"""Every claim of the paper about features, computed, with controls.

No module here imports another, except the typed results.
"""
