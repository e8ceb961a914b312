"""What the fakes are made of: a router, a clock, faults."""
