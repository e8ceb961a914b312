"""How long every list and page takes in an organization of a million contacts, and how many queries."""
