"""Lite Transformer (arXiv:2004.11886): the configuration without torch, the network with it."""
