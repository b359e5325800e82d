"""Fake devices that speak the real protocols, scenarios and the demo."""
