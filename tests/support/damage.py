"""Files that are damaged or made by others: whatever is done to them, reading succeeds or says which file is wrong."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

STRANGE = (None, True, -1, 0, 1.5, 10**30, math.nan, math.inf, "", "x", "\0", "../x", [], [None], {}, {"x": 1}, [[[]]])


def tried(fast, slow):
    """Parametrizes a test by the number of inputs it tries: a few by default, many if slow tests run."""
    return pytest.mark.parametrize("tries", [fast, pytest.param(slow, marks=pytest.mark.slow)])


def try_each(tries, inputs, check):
    """Calls check(input) for as many inputs of a strategy."""
    settings(max_examples=tries)(given(inputs)(check))()


def whole_or_named(path, read):
    """Returns what `read` returns for a file, or None if it refuses the file by name."""
    try:
        return read()
    except (ValueError, OSError) as error:
        assert str(path) in str(error), error
        return None


def damaged_json(content):
    """Draws the bytes of a JSON file in which something was deleted, replaced, nested deeply, cut off or spoiled."""
    text = json.dumps(content).encode()
    return st.one_of(st.builds(_changed, st.just(content), st.randoms(use_true_random=False)), damaged_bytes(text))


def damaged_bytes(content):
    """Draws bytes of which some were replaced, or whose end is missing."""
    place = st.integers(0, len(content) - 1)
    return st.one_of(
        place.map(lambda end: content[:end]),
        st.dictionaries(place, st.integers(0, 255), min_size=1, max_size=8).map(lambda new: _replaced(content, new)),
    )


def _replaced(content, new):
    return bytes(new.get(i, byte) for i, byte in enumerate(content))


def _changed(content, random):
    content = json.loads(json.dumps(content))
    places = list(_places(content))
    for part, key in random.sample(places, min(len(places), random.choice((1, 1, 1, 2, 4)))):
        done = random.choice(("delete", "replace", "replace", "replace", "nest"))
        if done == "replace" or isinstance(part, list):
            part[key] = random.choice(STRANGE)
        elif done == "delete":
            part.pop(key, None)
        else:
            part[key] = _nested(random.choice((3, 100, 300)))
    return json.dumps(content).encode()


def _nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def _places(part):
    """Yields (dictionary or list, key or index) of every entry at any depth."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        yield part, key
        if isinstance(value, (dict, list)):
            yield from _places(value)
