"""WeCom (企业微信): a robot of a group."""
