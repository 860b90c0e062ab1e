"""Trained networks, for machines without Python."""
