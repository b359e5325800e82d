"""Thousands of boxes from a few processes: each with a key, a session, a down stream, beats and blocks of its own."""
