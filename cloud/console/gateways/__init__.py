"""The boxes: which are connected, what they still hold, whether their clocks can be trusted."""
