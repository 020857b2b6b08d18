"""From photographs to faces: annotations, decoding, geometry, cropping, rendering, quality."""
