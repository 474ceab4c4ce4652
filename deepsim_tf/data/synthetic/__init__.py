"""Pairs of images that are made, with known flows."""
