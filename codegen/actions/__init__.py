"""Actions: a catalogue of calls, and the automaton that lets a model sample only these calls."""
