"""The verb monitor's parts: a port, what it shows, and the keys that go to it."""
