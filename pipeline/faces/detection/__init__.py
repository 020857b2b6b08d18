"""Faces and their five landmarks in photographs: two detectors, whose networks come as ONNX files of known hash."""
