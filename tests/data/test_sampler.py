import itertools

import pytest

from detector.data.sampler import EpochSampler


def test_each_epoch_has_every_image_once_in_another_order() -> None:
    sampler = EpochSampler(50, shuffle=True, seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert {key[0] for key in keys} == {epoch}
        assert sorted(key[1] for key in keys) == list(range(50))
        orders.append([key[1] for key in keys])
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, second, other = (EpochSampler(50, shuffle=True, seed=seed) for seed in (1, 1, 2))
    for _ in range(3):
        list(first)  # what was drawn before makes no difference
    for sampler in (first, second, other):
        sampler.set_epoch(7)
    assert list(first) == list(second) != list(other)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_training_gives_each_process_as_many_and_leaves_none_out(length: int, world_size: int) -> None:
    shares = [
        [key[1] for key in EpochSampler(length, shuffle=True, rank=rank, world_size=world_size)]
        for rank in range(world_size)
    ]
    assert {len(share) for share in shares} == {-(-length // world_size)}
    assert len(EpochSampler(length, shuffle=True, world_size=world_size)) == len(shares[0])
    assert {i for share in shares for i in share} == set(range(length))
    assert sum(len(share) for share in shares) - length < world_size


@pytest.mark.parametrize("length", [0, 1, 7, 8])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_gives_each_image_to_exactly_one_process_in_order(length: int, world_size: int) -> None:
    samplers = [EpochSampler(length, shuffle=False, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [[key[1] for key in sampler] for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    surplus = [share for share in shares[length:] if length]
    assert all(share == [0] for share in surplus)  # takes part in every epoch; what it finds is not counted
    assert sorted(i for share in shares[: length or None] for i in share) == list(range(length))
    assert all(share == sorted(share) for share in shares)


@pytest.mark.parametrize(
    ("length", "group", "world_size"), [(50, 8, 1), (48, 8, 1), (50, 8, 2), (9, 8, 2), (5, 8, 1), (2, 8, 4), (1, 4, 1)]
)
def test_images_that_follow_one_another_are_mixed_with_one_another(length: int, group: int, world_size: int) -> None:
    for rank in range(world_size):
        keys = list(EpochSampler(length, True, seed=1, rank=rank, world_size=world_size, group=group))
        assert [key[1] for key in keys] == [
            key[1] for key in EpochSampler(length, True, seed=1, rank=rank, world_size=world_size)
        ]
        own = [key[1] for key in keys]
        for start in range(0, len(keys), group):
            (mixed,) = {tuple(key[2].tolist()) for key in keys[start : start + group]}  # type: ignore[misc]
            assert len(mixed) == len(set(mixed)) == min(group, length)
            assert mixed[: len(own)] == tuple(own[max(0, min(start, len(own) - group)) :][:group])[: len(mixed)]
            assert {key[1] for key in keys[start : start + group]} <= set(mixed)


def test_the_images_that_are_mixed_are_others_each_epoch() -> None:
    sampler = EpochSampler(50, shuffle=True, seed=1, group=10)
    companions = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        groups = {tuple(sorted(key[2].tolist())) for key in sampler}  # type: ignore[misc]
        companions.append({pair for group in groups for pair in itertools.combinations(group, 2)})
    assert len(companions[0] & companions[1]) < 0.4 * len(companions[0])
