"""Procedural photographs of drawn faces with true landmarks, in CelebA's published layout.

One photograph is a function of (seed, number): `traits` draws who and how, `portrait` paints it in the
order back to front, `camera` makes a photograph of the painting. Face coordinates: x to the viewer's
right, y down, the unit is half the head's width, the origin lies between the eyes.
"""
