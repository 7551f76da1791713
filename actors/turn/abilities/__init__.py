"""What a turn can do, one ability a file: each is a base of `Turn`, and together they are its public face.

::

    host        what a turn needs of the registry it runs in
    own         what a turn has that most turns do not: one object, made when it is first needed
    hosted      what it has its registry do
    sections    its critical sections, for whose end a cancel waits
    sending     how it sends messages to other sessions, whose turns are its children
    specified   what it knows from the send that it is for
    usage       what it says that it has used
    undoable    how it is undone
    stoppable   what is called when it was stopped
    calling     the calls of tools that it makes
    working     what it begins beside its coroutine
"""
