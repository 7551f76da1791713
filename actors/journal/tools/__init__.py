"""What is done with a journal's file when no server has it open, or beside one that has.

::

    file         the file, opened to look at it or to change it
    figures      how much is in it
    rebuild      what the log of a session says is in the tables
    checking     what is wrong with it
    lines        the text that a journal is exported as
    exporting    a journal as lines
    importing    lines as a new journal
    removing     what is forgotten
"""
