"""Reading numbers with the ONNX file alone: numpy and onnxruntime, no torch."""
