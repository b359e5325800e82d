"""One device: all its points now, a curve with a table, its orders, its recent events."""
