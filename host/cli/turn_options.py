"""Options of the verbs that send user text: run and chat."""

from __future__ import annotations

import click

raw_option = click.option("--raw", is_flag=True, help="Send the text as it is, without the model's chat template.")
system_option = click.option("--system", metavar="TEXT", help="What the chat template tells the model before all else.")
