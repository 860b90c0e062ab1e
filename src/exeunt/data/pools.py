"""What folders and shards of train and test images are called."""

from __future__ import annotations

import re
from collections.abc import Iterable

POOL_WORDS = {
    "train": {"train", "training"},
    "test": {"test", "testing"},
    "val": {"val", "valid", "validation"},
}
POOL_NAMES = "train or training, and test, testing, val, valid or validation"


def pool_of(name: str) -> str | None:
    """The pool that a word of a name tells, in any case: `seg_train` is "train".

    None if no word does, or words of two pools are in it.
    """
    words = set(re.split("[^a-z]+", name.lower()))
    pools = [pool for pool, meant in POOL_WORDS.items() if words & meant]
    return pools[0] if len(pools) == 1 else None


def pool_folders(names: Iterable[str]) -> dict[str, list[str]]:
    """Those of the folders that are called by a pool, by pool.

    A name that is nothing but a word of a pool comes before names that have others too, which are
    then none of the pool.
    """
    by_pool: dict[str, list[str]] = {}
    for name in sorted(names):
        if pool := pool_of(name):
            by_pool.setdefault(pool, []).append(name)
    for pool, found in by_pool.items():
        exact = [name for name in found if name.lower() in POOL_WORDS[pool]]
        by_pool[pool] = exact or found
    return by_pool
