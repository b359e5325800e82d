"""All devices, by building, each with what it says now."""
