"""Differentiable operations with fast first and second derivatives."""
