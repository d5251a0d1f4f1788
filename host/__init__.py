"""Everything that runs on the maker's computer: the command line, builds, the serial link, emulators, the server."""
