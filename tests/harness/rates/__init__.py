"""How much of what each CRM allows a waiting backlog uses, on a real clock, and how often it asks for more."""
