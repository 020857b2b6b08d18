"""Exports of a data set of shards to the formats that other people's code reads."""
