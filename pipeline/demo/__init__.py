"""The drawn demo: photographs of faces with true landmarks (`faults.good`) and scenes (`scenes.encode_scene`).

A photograph depends only on its seed and number. `person` draws who is seen, `portrait` paints the person back to
front, `camera` makes a photograph of the painting. Face coordinates: x to the viewer's right, y down, the unit is
half the head's width, the origin lies between the eyes. Only the synthetic sources import this package.
"""
