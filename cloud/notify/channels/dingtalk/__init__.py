"""DingTalk (钉钉): a custom robot of a group."""
