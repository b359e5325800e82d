"""Who may do what: people with roles at nodes of the area tree, boxes with keys, sessions, and the audit log."""
