"""What a turn may use up, and what stops one that uses up more.

::

    terms     what a turn may use up: events, bytes, silence, time without a reader
    budget    what it has emitted so far
    guard     watches one turn that runs, and has it stopped
    deserted  the turns that wait, and whose readers have left
"""
