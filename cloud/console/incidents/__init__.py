"""Incidents: what somebody still has to do on site, who has it, and what is late."""
