"""The commands that look after the file in which chats outlive the server.

::

    commands     what is asked for
    on_file      the file that is meant, and how a command on it ends
    on_server    what a running server is asked to forget
    tables       how much there is, as tables
"""
