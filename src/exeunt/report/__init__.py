"""Figures of what a network does."""
