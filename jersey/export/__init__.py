"""From a network to ONNX files, none of which is left unless it gave torch's answers on real crops."""
