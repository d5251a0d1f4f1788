"""IntegerModel and tokenizer to a PlatformIO project of readable C."""
