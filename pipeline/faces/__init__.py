"""From photographs to faces: annotations, decoding, geometry, cutting and rendering."""
