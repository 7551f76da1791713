"""How much there may be at a time, of one user's and in all."""

from turnkeeper.actors.turn.work.quota import Quota


def test_a_user_may_take_as_many_as_one_may_have() -> None:
    quota = Quota(2, 9)
    quota.take("ada")
    assert quota.has_room("ada")
    quota.take("ada")
    assert not quota.has_room("ada")
    assert quota.has_room("bob")
    assert not quota.is_full
    quota.give_back("ada")
    assert quota.has_room("ada")


def test_all_together_may_take_as_many_as_there_may_be() -> None:
    quota = Quota(2, 2)
    quota.take("ada")
    quota.take("bob")
    assert (quota.is_full, quota.in_all) == (True, 2)
    assert not any(map(quota.has_room, ("ada", "bob", "eve")))
    quota.give_back("bob")
    assert all(map(quota.has_room, ("ada", "bob", "eve")))


def test_nothing_is_kept_of_a_user_who_has_none() -> None:
    quota = Quota(2, 2)
    quota.take("ada")
    quota.give_back("ada")
    assert quota._of_users == {}
