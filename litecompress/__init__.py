"""Compress a trained Lite Transformer and export it to ONNX, Core ML and TFLite."""

__version__ = "0.1.0"
