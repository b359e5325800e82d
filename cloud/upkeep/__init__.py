"""What the cloud does by itself, in every process and without coordination: rolls up hours, drops what is too old."""
