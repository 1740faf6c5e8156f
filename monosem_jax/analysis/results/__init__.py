"""What analyses leave for the page, for exports and for each other.

`arrays` has their arrays, `numbers` how numbers are saved and loaded, and the
other modules have the numbers of the analyses. All of it starts without jax.
"""
