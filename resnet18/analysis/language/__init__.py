"""The report in another language: finished English texts are looked up in a catalogue; nothing is judged again."""
