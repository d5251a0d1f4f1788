"""The command line, the serial link and everything that runs on the desk."""
