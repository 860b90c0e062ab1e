"""What folders and shards of train and test images are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from exeunt.data.left_out import LeftOut, listed
from exeunt.errors import ExeuntError

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


def pools_among(names: Sequence[str], title: str, left_out: LeftOut) -> dict[str, str]:
    """Which of the datasets with these names are the pools: `{"all": ...}`, or train and test.

    Where there are both, a test set counts and a validation set is left out.

    Raises:
        ExeuntError: If they are several and none of them, or two, are to train or to test on.
    """
    if len(names) == 1:
        return {"all": names[0]}
    by_pool = pool_folders(names)
    train, test = by_pool.get("train", []), by_pool.get("test") or by_pool.get("val", [])
    if len(train) != 1 or len(test) != 1:
        raise ExeuntError(
            f"{title} are called {listed(map(repr, names)) or 'nothing'}; one must be called train "
            "and one test, val or validation, or there must be only one"
        )
    for name in names:
        if name not in (train[0], test[0]):
            left_out.add("unused split", name)
    return {"train": train[0], "test": test[0]}


def pools_of_files(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the pool that a word of each name tells; "all" where there are no two pools.

    Raises:
        ExeuntError: If some are to train on and some to test on, and one is neither.
    """
    by_pool: dict[str, list[Path]] = {}
    for file in files:
        by_pool.setdefault(pool_of(file.stem) or "", []).append(file)
    test = by_pool.get("test") or by_pool.get("val")
    if not ("train" in by_pool and test):
        return {"all": list(files)}
    if "" in by_pool:
        raise ExeuntError(
            f"{by_pool[''][0]}: other files here have train and test (or val) in their names; "
            "this one has neither, or both"
        )
    return {"train": by_pool["train"], "test": test}


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
