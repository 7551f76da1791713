"""What the living do where there is a journal.

::

    outbox      the events that are not durable yet
    cargo       what goes along with decisions: events and titles
    sealing     what a turn leaves at its end, as JSON
    mail        the messages that are not decided yet
    answers     what the journal has answered
    repeats     sends whose turn memory may have let go of
    journaled   what a session decides is durable before it is done
    prompt      what does not wait for that: cancels, and critical sections
    restoring   how a session comes back into memory
    loading     reads sessions from the journal, while their mail is parked
    retention   what the journal has too much of is forgotten
    history     what the journal knows of the past, and memory does not
"""
