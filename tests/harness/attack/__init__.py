"""Attacks on the log-ins, the keys and the outgoing addresses, each with the figure it comes to."""
