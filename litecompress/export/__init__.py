"""Exporters: an artifact in, the files of one target out."""
