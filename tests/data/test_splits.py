"""The splits: disjoint, complete, stratified, and the same everywhere."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exeunt.data import ImageFile, Sample, Source, SplitSpec, make_splits, take
from exeunt.errors import ExeuntError


def class_samples(sizes: list[int], prefix: str = "") -> tuple[Sample, ...]:
    names = [(f"{prefix}{chr(97 + k)}/{i}.png", k) for k, n in enumerate(sizes) for i in range(n)]
    return tuple(Sample(ImageFile(Path(name)), k, name) for name, k in sorted(names))


def class_source(sizes: list[int], test_sizes: list[int] | None = None) -> Source:
    pools = {"all": class_samples(sizes)}
    if test_sizes is not None:
        pools = {
            "train": class_samples(sizes, "train/"),
            "test": class_samples(test_sizes, "val/"),
        }
    class_names = tuple(chr(97 + k) for k in range(len(sizes)))
    return Source(Path("root"), "classification", class_names, pools)


def value_source(values: list[float]) -> Source:
    samples = [Sample(ImageFile(Path(f"{i}.png")), v, f"{i:04}.png") for i, v in enumerate(values)]
    return Source(Path("root"), "regression", (), {"all": tuple(samples)})


def names(samples) -> list[str]:
    return [sample.name for sample in samples]


def counts(samples) -> Counter:
    return Counter(sample.target for sample in samples)


sizes_of_classes = st.lists(st.integers(3, 40), min_size=2, max_size=5)
fractions = st.floats(0.01, 0.99)


@given(sizes_of_classes, st.integers(0, 99), fractions, fractions)
def test_one_pool_is_divided_within_every_class(sizes, seed, calibration, test):
    source = class_source(sizes)
    splits = make_splits(source, SplitSpec(seed, calibration, test))
    together = names(splits.train) + names(splits.calibration) + names(splits.test)
    assert sorted(together) == names(source.pools["all"])
    for k, size in enumerate(sizes):
        in_test = counts(splits.test)[k]
        in_calibration = counts(splits.calibration)[k]
        in_train = counts(splits.train)[k]
        assert min(in_test, in_calibration, in_train) >= 1
        # Within half an image of the asked share, unless a split would be left without any.
        assert abs(in_test - test * size) <= 0.5 or in_test in (1, size - 2)
        pool = size - in_test
        assert abs(in_calibration - calibration * pool) <= 0.5 or in_calibration in (1, pool - 1)


@given(sizes_of_classes, st.integers(0, 99))
def test_test_pool_is_left_alone(sizes, seed):
    source = class_source(sizes, [1] * len(sizes))
    splits = make_splits(source, SplitSpec(seed))
    assert splits.test == source.pools["test"]
    assert sorted(names(splits.train) + names(splits.calibration)) == names(source.pools["train"])


@given(sizes_of_classes, st.integers(0, 99), st.randoms(use_true_random=False))
def test_order_of_the_files_plays_no_part(sizes, seed, rng):
    source = class_source(sizes)
    shuffled = list(source.pools["all"])
    rng.shuffle(shuffled)
    other = Source(source.root, source.task, source.class_names, {"all": tuple(shuffled)})
    assert make_splits(source, SplitSpec(seed)) == make_splits(other, SplitSpec(seed))


def test_other_classes_play_no_part():
    small = make_splits(class_source([20, 20]), SplitSpec())
    large = make_splits(class_source([20, 20, 50]), SplitSpec())
    for name in ("train", "calibration", "test"):
        assert names(small[name]) == [n for n in names(large[name]) if not n.startswith("c/")]


def test_the_same_on_every_machine_and_version():
    """Ranked with coreutils: printf '0\\0test\\0a/3.png' | b2sum -l 128; two of each go."""
    splits = make_splits(class_source([10, 10]), SplitSpec(0, 0.25, 0.2))
    assert names(splits.test) == ["a/0.png", "a/1.png", "b/5.png", "b/7.png"]
    assert names(splits.calibration) == ["a/2.png", "a/4.png", "b/0.png", "b/6.png"]


def test_seed_changes_the_splits():
    source = class_source([40, 40])
    tests = {tuple(names(make_splits(source, SplitSpec(seed=seed)).test)) for seed in range(5)}
    assert len(tests) == 5


def test_every_image_is_held_out_by_some_seed():
    source = class_source([10, 10])
    held = {n for seed in range(60) for n in names(make_splits(source, SplitSpec(seed)).test)}
    assert held == set(names(source.pools["all"]))


def test_regression_holds_out_from_every_decile():
    values = [float(i) for i in range(200)]
    random.Random(0).shuffle(values)
    splits = make_splits(value_source(values), SplitSpec(test_fraction=0.2))
    deciles = Counter(int(sample.target) // 20 for sample in splits.test)
    assert deciles == dict.fromkeys(range(10), 4)
    assert len(splits.train) + len(splits.calibration) + len(splits.test) == 200
    assert not set(names(splits.train)) & set(names(splits.calibration))
    assert 20 <= len(splits.calibration) <= 30  # 15 % of 160 is 24


def test_regression_with_three_images():
    splits = make_splits(value_source([1.0, 2.0, 2.0]), SplitSpec())
    assert [len(splits[name]) for name in ("train", "calibration", "test")] == [1, 1, 1]
    with pytest.raises(ExeuntError, match=r"2 image\(s\), but train, calibration and test need"):
        make_splits(value_source([1.0, 2.0]), SplitSpec())


@given(sizes_of_classes, st.integers(10, 60), st.integers(0, 9))
def test_limit_holds_for_either_pool(sizes, limit, seed):
    source = class_source(sizes, sizes)
    splits = make_splits(source, SplitSpec(seed, limit=limit))
    assert len(splits.train) + len(splits.calibration) == min(limit, sum(sizes))
    assert len(splits.test) == min(limit, sum(sizes))
    for name in ("train", "calibration", "test"):
        assert set(counts(splits[name])) == set(range(len(sizes)))


def test_limit_with_one_pool():
    splits = make_splits(class_source([100, 100]), SplitSpec(test_fraction=0.1, limit=20))
    assert counts(splits.test) == {0: 10, 1: 10}
    assert counts(splits.train) + counts(splits.calibration) == {0: 10, 1: 10}


@pytest.mark.parametrize(
    ("sizes", "test_sizes", "spec", "message"),
    [
        ([9, 2], None, SplitSpec(), r"class 'b' has 2 image\(s\), .* need at least 3"),
        ([1, 9], [3, 3], SplitSpec(), r"class 'a' has 1 image\(s\), but train and calibration"),
        ([9, 9], [9, 9], SplitSpec(limit=3), r"has 1 image\(s\), .* with limit 3 need at least 2"),
        ([9, 9], [9, 9], SplitSpec(limit=1), r"has 0 image\(s\), .* with limit 1 need"),
    ],
)
def test_too_few_images(sizes, test_sizes, spec, message):
    with pytest.raises(ExeuntError, match=message):
        make_splits(class_source(sizes, test_sizes), spec)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"limit": 0}, "limit must be at least 1 image, not 0"),
        ({"test_fraction": 1.0}, "test_fraction must lie between 0 and 1, not at 1.0"),
        ({"calibration_fraction": float("nan")}, "calibration_fraction must lie between"),
    ],
)
def test_faulty_specs(values, message):
    with pytest.raises(ExeuntError, match=message):
        SplitSpec(**values)


def test_lookup_of_a_split_that_is_not_there():
    splits = make_splits(class_source([5, 5]), SplitSpec())
    with pytest.raises(ExeuntError, match="no split 'val'; the splits are train, calibration, te"):
        splits["val"]


def webster(sizes: list[int], n: int, at_least: int) -> list[int]:
    """Seat by seat: whoever has fewest up to `at_least`, then the largest size / (2 seats + 1)."""
    seats = [0] * len(sizes)
    for _ in range(min(n, sum(sizes))):
        open_to = [k for k in range(len(sizes)) if seats[k] < sizes[k]]
        level = min(min(seats[k], at_least) for k in open_to)
        first = [k for k in open_to if min(seats[k], at_least) == level]
        best = max(first, key=lambda k: sizes[k] / (2 * seats[k] + 1))
        seats[best] += 1
    return seats


@given(
    st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=5),
    st.integers(1, 160),
    st.integers(1, 3),
)
def test_take_shares_as_webster(odds, n, at_least):
    sizes = [odd * 2**k for k, odd in enumerate(odds)]  # of such sizes no two quotients are equal
    found = counts(take(class_samples(sizes), n, at_least=at_least))
    assert [found[k] for k in range(len(sizes))] == webster(sizes, n, at_least)


@given(sizes_of_classes, st.integers(1, 60), st.integers(0, 9))
def test_more_only_adds(sizes, n, seed):
    samples = class_samples(sizes)
    assert set(take(samples, n, seed)) <= set(take(samples, n + 1, seed))


def test_take_is_seeded_sorted_and_indifferent_to_order():
    samples = class_samples([30, 30, 30])
    taken = take(samples, 10, seed=1)
    assert take(samples[::-1], 10, seed=1) == taken
    assert names(taken) == sorted(names(taken))
    assert take(samples, 10, seed=2) != taken
    assert take(samples, 1000) == samples
    with pytest.raises(ExeuntError, match="at least 1, not 0"):
        take(samples, 0)


def test_take_below_the_number_of_classes_depends_on_the_seed():
    samples = class_samples([5] * 6)
    assert {min(counts(take(samples, 1, seed))) for seed in range(60)} == set(range(6))
