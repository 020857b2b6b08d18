"""Published files over the network: from every place that is known, resumed, verified, and only under accepted terms.

`downloads.Downloads` is the entrance: it returns verified files in a folder of its own, which outlives the stages'
work folders. Below it, `retrieve` goes through one file's places, `transfer` is one request, `partial` the bytes
that are here so far, `room` the disk they need, `pages` and `content` look at what came, `faults` says why a place
failed.
"""
