"""The live page: what is wrong now, where, for how long, and who has it."""
