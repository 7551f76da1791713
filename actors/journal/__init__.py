"""The log of each session: what survives the process.

::

    entries     the durable facts, one by one                                             (data)
    durable     what of a session's state survives                                        (pure)
    derive      what a decision adds to the log                                           (pure)
    fold        what the log says of a session                                            (pure)
    replay      what the log says that readers were sent                                  (pure)
    contract    what every journal does, what it is handed and hands back
    fence       whether an append may be written behind what a log has
    listed      what is listed of a session
    foreign     what another process has appended, taken over                             (pure)
    memory      a journal in memory, for tests
    sqlite      the journal in a file
    where       which journal a host means
"""
