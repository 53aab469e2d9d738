"""Train image classifiers of basketball jersey numbers and leave a checked ONNX model."""
