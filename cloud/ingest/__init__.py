"""Takes blocks from boxes: checks the chain, decodes, stores, lets the alarms look, moves the cursor, all in one
transaction; the acknowledgement follows the commit.
"""
