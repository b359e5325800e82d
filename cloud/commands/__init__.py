"""Orders to devices: queued in the database, handed down to the box that has the device, answered by its records."""
