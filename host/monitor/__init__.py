"""The serial monitor of `tinyllm monitor`: the port, the display of its bytes, and the keys that go to it."""
