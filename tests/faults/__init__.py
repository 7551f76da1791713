"""Proof by kill: what a server acknowledged is there after any number of ``kill -9``.

``make faults KILLS=1000 SEED=7`` starts a server on a file, and 200 sessions that send, cancel and follow
over HTTP. The server is killed at random moments and started again with the same file. What clients sent,
were answered and saw is a history; at the end of each round of kills it is held against what the server says
then, and ``turnkeeper journal check`` looks at the file. A run prints its seed. One that fails writes its
history to a file, which ``--check FILE`` judges again.

::

    run           rounds of kills, and what the run says                             (the command)
    users         those who send, cancel and look                                    (HTTP)
    following     those who follow sessions and turns                                (HTTP)
    scene         what they share, and the one who kills
    end           asks the server for all that it knows                              (HTTP)
    process       one server: started, killed by its pid, started again
    agents        what the server runs: streams numbered chunks as a message plans
    checker       history -> violations                                              (pure, as all below)
    sessions      acknowledged closes and titles against the sessions and their list
    turns         acknowledged sends and cancels against the turns' records
    readers       what each stream showed against the session's log
    conversation  the messages against the turns
    log           a session's events as they are at the end
    history       what happened, and what is there at the end                        (data)
    plan          what a turn is to do                                               (data)

What is held, per session:

* no acknowledged send, cancel or ending is lost, and none is doubled: a turn has one final status and one
  event that ends it, and what was refused has left nothing;
* what ran when the process was killed is ``interrupted`` afterwards, or tried again where its agent says so,
  within its attempts, and never after an acknowledged cancel;
* the ids of a stream grow, no id is given twice with different content, and no stream has a hole or a double,
  however often it was cut and resumed by its cursor. A reader may have seen agents' events at the end of an
  interrupted epoch that the log lacks, and nothing else;
* the conversation has each completed turn's message and reply once and whole, in the order of the turns.
"""
