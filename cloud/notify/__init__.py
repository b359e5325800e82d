"""Calls people until somebody answers: who is on call, which channel, what was said, and what became of it."""
