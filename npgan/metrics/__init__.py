"""How good: samples against real images, modes of a mixture, repaired holes."""
