"""Raises alarms from changes and follows them to the end: rules (pure), state machine (pure), engine."""
