"""A webhook: JSON to any address, signed."""
