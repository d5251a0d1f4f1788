"""`python -m tinyllm`: the command line."""

from tinyllm.host.cli.app import main

main()
