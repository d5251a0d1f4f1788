"""tinyllm: language models on microcontrollers."""
