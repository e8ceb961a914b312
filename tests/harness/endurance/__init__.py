"""How the application keeps up by itself: real processes, real time, figures."""
