"""Whether files are whole, what they hold, and how two of them differ: `celebahq verify`, `inspect` and `compare`."""
