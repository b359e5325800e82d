"""BLE: a BlueZ of our own on a private D-Bus, and sensors that it hears. bleak on the box's side runs unmodified."""
