"""What a turn begins beside its coroutine, and what keeps it from its end.

::

    begun      what one turn has begun, by kinds: its end waits until none of that runs
    tasks      a kind of it: its tasks
    threads    ... its functions that run in threads
    processes  ... its processes, and the block in which it has one
    process    one process, from its start until its group is gone
    group      the processes of one group, and their signals
    pool       the threads of one registry
    quota      how much there may be at a time, of one user's and in all     (pure)
    left       what runs on of turns that are over, to be counted
    patient    how to wait for what a cancellation does not end
    means      what all turns of one registry share to begin something
"""
