"""The results that analyses save for the page, for exports and for each other.

`arrays` holds their arrays, `numbers` saves and loads numbers, and each other
module defines the numbers of some analyses. Nothing here imports jax.
"""
