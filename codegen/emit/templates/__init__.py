"""Templates of the emitted C."""
