"""The door for the CRMs' webhooks: verify the raw bytes, keep the event once, answer, and let a task read."""
