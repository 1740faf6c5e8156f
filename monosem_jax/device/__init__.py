"""Devices: mesh, precision, processes, compiling, and what it costs."""
