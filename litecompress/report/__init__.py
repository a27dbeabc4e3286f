"""The report of a run: one frozen value, written as JSON and Markdown."""
