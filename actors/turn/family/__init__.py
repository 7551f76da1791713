"""The turns that turns have sent messages to other sessions for: what is known of their trees, and of each.

::

    branch      one turn of a tree, and those below it
    tree        all of a registry, and how far they may grow
    results     what a turn's end is to a caller that wants its result
    child       one turn that another one has sent for, as that one holds it
"""
