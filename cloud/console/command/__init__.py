"""Orders to a device: the button, the one question before, and the answer that was read back."""
