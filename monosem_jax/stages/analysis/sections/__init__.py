"""A section of report.md for every analysis: what was asked, and the answer."""
