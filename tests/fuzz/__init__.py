"""Fuzzing: every decoder of bytes that come from outside, against whatever bytes can be (`make fuzz`)."""
