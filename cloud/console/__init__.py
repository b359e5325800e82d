"""The console: server-rendered pages for the people who watch an estate, one folder a screen, and their assets."""
