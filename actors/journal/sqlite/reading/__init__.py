"""What is read of the file.

::

    queries    what all that read have in common
    said       messages by their numbers
    events     events by their ids
    load       a session, as far as it remembers itself
    lists      sessions, turns and messages, a page at a time
"""
