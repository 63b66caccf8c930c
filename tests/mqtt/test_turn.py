"""Each command is carried out by exactly one bridge of a group, in whatever order bridges come and go."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vegehub.mqtt.turn import OFFLINE, ONLINE, Turn

NAMES = ("first", "second", "third")


class Group:
    """A broker with bridges: all that listen get every message in the same order."""

    def __init__(self) -> None:
        self.retained = dict.fromkeys(NAMES, OFFLINE)
        self.turns: dict[str, Turn[int]] = {}
        self.done: dict[int, list[str]] = {}
        self.seen: dict[int, int] = {}

    def subscribe(self, name: str) -> None:
        """A bridge has connected and listens; it has not said yet that it is there."""
        turn = self.turns[name] = Turn(name, NAMES)
        for other, said in self.retained.items():
            self._carry_out(name, turn.availability(other, said, retained=True))

    def say(self, name: str, said: str) -> None:
        self.retained[name] = said
        for listener, turn in self.turns.items():
            self._carry_out(listener, turn.availability(name, said, retained=False))

    def leave(self, name: str) -> None:
        """A bridge is gone; the broker gives its last will."""
        del self.turns[name]
        self.say(name, OFFLINE)

    def command(self, number: int) -> None:
        self.done[number] = []
        for name, turn in self.turns.items():
            self._carry_out(name, turn.command(number))

    def _carry_out(self, name: str, commands: list[int]) -> None:
        for number in commands:
            self.done[number].append(name)


def test_the_first_that_is_online_carries_out() -> None:
    group = Group()
    for name in NAMES:
        group.subscribe(name)
        group.say(name, ONLINE)
    group.command(1)
    group.leave("first")
    group.command(2)
    group.leave("second")
    group.command(3)
    group.subscribe("first")
    group.command(4)
    group.say("first", ONLINE)
    group.command(5)
    assert group.done == {1: ["first"], 2: ["second"], 3: ["third"], 4: ["third"], 5: ["first"]}


def test_a_command_before_anybody_is_online_goes_to_who_comes_first() -> None:
    group = Group()
    for name in NAMES:
        group.subscribe(name)
    group.command(1)
    group.say("second", ONLINE)
    group.say("first", ONLINE)
    assert group.done == {1: ["second"]}


def test_what_the_last_run_left_says_nothing_of_this_one() -> None:
    turn: Turn[int] = Turn("first", NAMES)
    assert turn.availability("first", ONLINE, retained=True) == []
    assert not turn.is_mine


def test_a_stranger_has_no_turn() -> None:
    turn: Turn[int] = Turn("first", NAMES)
    turn.availability("stranger", ONLINE, retained=False)
    turn.availability("first", ONLINE, retained=False)
    assert turn.is_mine


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=40))
def test_never_two_and_never_none_while_one_is_online(steps) -> None:
    group = Group()
    state = dict.fromkeys(NAMES, 0)  # 0 away, 1 listens, 2 online
    number = 0
    for name, what in steps:
        if what == 0 and state[name] == 0:
            group.subscribe(name)
            state[name] = 1
        elif what == 1 and state[name] == 1:
            group.say(name, ONLINE)
            state[name] = 2
        elif what == 2 and state[name]:
            group.leave(name)
            state[name] = 0
        elif what == 3:
            number += 1
            someone = any(level == 2 for level in state.values())
            group.command(number)
            assert len(group.done[number]) == int(someone)
    assert all(len(names) <= 1 for names in group.done.values())
