"""What stands around every screen: state strip, navigation, layout, icons."""
