"""The report: one HTML page on all results, as far as they are there."""
