"""Where images come from: a class per data set fills `data/download`, one reader opens all archives in it.

`registry` finds the class of `params.download.source.kind`; `source` is its interface, and holds the
description `Contents` of what lies where; `extraction` turns any `Contents` into containers of photographs.
"""
