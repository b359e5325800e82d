"""Feishu (飞书): a custom bot of a group."""
