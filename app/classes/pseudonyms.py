"""Two-word names such as `amber-heron`, drawn at random and each given once in a class."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

_FIRST = """
amber azure beige brave brisk bronze calm candid clever coral crimson curious daring eager early fair
fleet gentle gilded golden green hardy hazel honest humble indigo ivory jade jolly keen kind lively lucky
lunar maroon mellow merry mint modest nimble noble ochre olive patient placid plucky polite proud quick
quiet ready rosy rustic sable scarlet silver sincere smart solar steady sunny swift teal tidy tranquil
trusty umber velvet vivid warm witty"""
_SECOND = """
alder aspen badger beaver birch bison cedar cheetah condor crane cricket curlew cypress dolphin dove
eagle egret elder elm falcon fern finch fir fox gazelle gecko gull hare hawk hazelnut heron hornbeam ibex
ibis jackdaw jay kestrel kite koala lapwing larch lark lemur linden lynx magpie maple marten martin
merlin newt oak ocelot oriole osprey otter owl panda partridge pelican pine plover poplar puffin quail
raven robin rowan salmon seal sparrow spruce stork swallow swan swift tern thrush tortoise trout viper
walnut warbler whale willow wolf wren yew zebra"""


class Free:
    """The pseudonyms that a class has not given yet."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._first, self._second = _FIRST.split(), _SECOND.split()

    def take(self) -> str:
        """Return a free pseudonym, with a number if most pairs are taken."""
        number = ""
        while True:
            for _ in range(50):
                name = f"{secrets.choice(self._first)}-{secrets.choice(self._second)}{number}"
                if name not in self._taken:
                    self._taken.add(name)
                    return name
            number = f"-{2 + secrets.randbelow(998)}"
