"""Has Python keep the compiled form of all that a box imports, as `anju run` wants it (-OO: no texts for readers).

The service may not write where the code lies: without this it would compile everything anew at each start.
usage: python -OO deploy/setup/warm.py
"""
