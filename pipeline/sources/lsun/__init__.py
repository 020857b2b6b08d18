"""LSUN: one database of encoded images per category, as published."""
