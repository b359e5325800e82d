"""One incident: what it is, who goes, the next step as one button, and how long each step took against its limit."""
