"""The page behind a message's one-time link: what the alarm is, and one button. It needs no session."""
