"""Measurements of time and memory; `benchmarks/README.md` describes the protocol."""
