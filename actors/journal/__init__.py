"""The log of each session: what survives the process.

::

    entries     the durable facts, one by one                                             (data)
    durable     what of a session's state survives                                        (data)
    contract    what every journal does, what it is handed and hands back
"""
