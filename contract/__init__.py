"""What edge, cloud and simulators agree on."""
