"""The box: polls devices, keeps what they say on disk, forwards it."""
