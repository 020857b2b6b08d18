"""The published recipe, bit for bit and compiled; tests/published/exact/reference.py has it in plain numpy."""
