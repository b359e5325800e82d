"""From an alarm or a report to the end: who goes, within which time, who is told when nobody does, and mobilisation."""
