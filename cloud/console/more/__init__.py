"""How the console looks to this browser, and the way out."""
