"""Mail: addresses, letters that wait, links for a new password, and the server that sends.

A letter is written in the transaction of what it is about, and sent by the sweeper outside of any. A process
that is killed between sending and noting sends it once more; none is lost.
"""
