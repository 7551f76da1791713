"""What is written to the file.

::

    durability   when an append is on the disk
    group        what a group of appends is in the tables
    mail         what goes to the writer, and what comes back                                      (data)
    tables       writes the tables, and reads what the writer has to know of them
    log          writes a group of appends in one transaction
    writer       the one that writes: an actor in a thread of its own
"""
