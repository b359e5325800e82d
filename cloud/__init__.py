"""The cloud service: stores, raises alarms, shows them."""
