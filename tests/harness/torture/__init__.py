"""The real stack under torture: workers killed, stopped and cut off, and what is left of the data judged."""
