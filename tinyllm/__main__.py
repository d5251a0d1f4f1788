"""`python -m tinyllm` runs the command line."""

from tinyllm.host.cli.app import main

main()
