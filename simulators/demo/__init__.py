"""The demo: the whole system with a simulated estate, in one terminal. Only `--once` also checks it."""
