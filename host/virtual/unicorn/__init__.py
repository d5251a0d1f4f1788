"""Virtual Pico, Pico 2 and ESP32-C3 boards: Unicorn runs the chip's own image."""
