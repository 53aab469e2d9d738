"""The export of a network to ONNX files, each of which is kept only if it agrees with torch on real crops."""
