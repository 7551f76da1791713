"""The journal in a file, by SQLite.

::

    schema       what is in the file, and how a file of an older version becomes one of this
    failures     what goes wrong with it, in the words of those who look after it
    lock         one process a journal
    rows         sessions and turns, as their rows have them                                       (data)
    statements   many rows in one statement
    database     the file itself: made, opened, and still the one that was opened
    writing      what is written to it, by an actor in a thread of its own
    reading      what is read of it
    readers      those that read: connections of their own, in threads
    forgetting   what is forgotten, and the room that it took
    post         the way to the writer and back
    journal      what the event loop's thread has of it
"""

from turnkeeper.actors.model.words import Durability as Durability

from .journal import SqliteJournal as SqliteJournal
