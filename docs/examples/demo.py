"""A short talk with the bundled model, in the C that a board runs. This computer is the board and simulates a light."""

import tinyllm

SAID = ("Hello! Who are you?", "What can you do?", "Turn on the light in the kitchen, please.", "Now turn it off again")

print("building the model for this computer ...", flush=True)
with tinyllm.Board.host() as board:
    chat = board.chat()
    for said in SAID:
        answer = chat.ask(said, temperature=0).read()
        carried_out = "".join(f"[{call}: {result}] " for call, result in answer.calls)
        print(f"> {said}\n  {carried_out}{answer.text.strip()}")
