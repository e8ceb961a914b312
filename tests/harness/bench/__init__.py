"""How much the application can bear, in figures that do not hang on the machine: memory so far."""
