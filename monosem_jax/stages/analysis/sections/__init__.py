"""The sections of report.md: each analysis' question and answer."""
