"""Programs that become part of an imported own metric; they run in the sandbox and nowhere else.

`scorer.importing.own_code` puts their text into the metric's file, with SETTINGS and PROGRAM before them.
"""
