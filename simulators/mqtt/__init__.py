"""A broker of its own and devices that publish to it, as Zigbee2MQTT, Tasmota, Shelly, ChirpStack and Frigate do."""
