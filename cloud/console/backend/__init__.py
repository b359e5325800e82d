"""The console's protocols (cloud/console/data.py) over the store, the alarm engine, commands and identity."""
