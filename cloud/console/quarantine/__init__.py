"""Blocks that could not be stored: what can be read of them, and what is to become of them."""
