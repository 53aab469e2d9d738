"""Exports a network to ONNX files, each of which is only written if it agrees with torch on real crops."""
