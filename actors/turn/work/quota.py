"""How much of one kind there may be at a time, of one user's and in all. Pure."""


class Quota:
    """Counts what is taken and given back."""

    __slots__ = ("_most_in_all", "_most_of_user", "_of_users", "in_all")

    def __init__(self, most_of_user: int, most_in_all: int) -> None:
        self._most_of_user = most_of_user
        self._most_in_all = most_in_all
        self._of_users: dict[str, int] = {}
        #: How many are taken.
        self.in_all = 0

    @property
    def is_full(self) -> bool:
        """Whether no user may take another one."""
        return self.in_all >= self._most_in_all

    def has_room(self, user: str) -> bool:
        """Whether this user may take another one."""
        return not self.is_full and self._of_users.get(user, 0) < self._most_of_user

    def take(self, user: str) -> None:
        """One more of this user's, for whom there is room."""
        self._of_users[user] = self._of_users.get(user, 0) + 1
        self.in_all += 1

    def give_back(self, user: str) -> None:
        """One less of this user's, who has some."""
        self.in_all -= 1
        left = self._of_users[user] - 1
        if left:
            self._of_users[user] = left
        else:
            del self._of_users[user]
