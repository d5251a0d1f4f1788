"""Actions: a catalogue of calls, and the automaton that keeps a model to it."""
