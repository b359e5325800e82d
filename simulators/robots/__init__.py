"""Stand-ins for what people are called through: robots of chat groups, a webhook's receiver, a mail server."""
