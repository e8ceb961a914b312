"""The admin: what staff see of one organization. Read-mostly; credentials are never rendered."""
