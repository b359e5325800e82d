"""One alarm, read like a report: what it is and what to do, the doors nearby, the curve, who did what."""
