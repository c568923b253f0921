"""ONNX graphs of served models: networks (bodies) and the arithmetic around them (glue)."""
