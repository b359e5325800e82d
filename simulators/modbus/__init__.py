"""Modbus TCP units: a server of our own, independent of the client the box uses, and devices built from profiles."""
