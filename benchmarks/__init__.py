"""Measurements of time and memory; `benchmarks/README.md` says how they are taken."""
