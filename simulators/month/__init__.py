"""A month of many estates, played through the real alarm engine, to see how good its alarms are."""
