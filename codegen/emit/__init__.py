"""The emitter: a PlatformIO project of readable C from an IntegerModel and a tokenizer."""
