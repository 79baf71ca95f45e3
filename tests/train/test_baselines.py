"""What stands beside cells: each worked out by hand, and in a run of its own."""

from __future__ import annotations

import dataclasses
import math
import pickle

import pytest
import torch
from levels import Doubled

from cellbench.catalog import find_task, load_tasks
from cellbench.errors import OptionError, UnknownNameError
from cellbench.generators.base import Batch, Bits, Generator, Odds, Sets, Tokens, Vectors
from cellbench.plugins import CellSpec
from cellbench.record import Status
from cellbench.sweep.plan import make_plan
from cellbench.sweep.stacks import make_stacks
from cellbench.sweep.worker import run_trial
from cellbench.train.baselines import BASELINES, BaselineSpec, parse_subject
from cellbench.train.baselines.position_only import position_only

CPU = torch.device("cpu")
TINY, ADDING = find_task("copying/tiny"), find_task("adding/length-10")
EASIEST = {task.family: task for task in reversed(load_tasks().values())}


class Fixed(Generator):
    """Asks at step 0 of half of the sequences and at step 1 of all; what, is given."""

    def __init__(self, space, of_even, of_odd, optimum=None) -> None:
        self.space, self.of_even, self.of_odd, self.optimum = space, of_even, of_odd, optimum

    reads = Tokens(2)
    answers = property(lambda self: self.space)

    def sample(self, stream, index):
        even = (index % 2 == 0).unsqueeze(0)
        scored = torch.cat([even, torch.ones_like(even)])
        pair = torch.stack([self.of_odd(index), self.of_even(index)])
        targets = torch.stack([pair[0], torch.where(_like(even[0], pair), pair[1], pair[0])])
        optimum = None if self.optimum is None else torch.full(scored.shape, self.optimum)
        return Batch(torch.zeros(2, len(index)).long(), targets, scored, scored, optimum)

    def trivial(self):
        return 0.0

    def oracle(self, inputs):
        return inputs


def _like(mask, pair):
    return mask.view(-1, *[1] * (pair.ndim - 2))


def classes(values):
    """Of the sequences in turn."""
    return lambda index: torch.tensor(values)[index // 2 % len(values)]


def measured(generator, count: int = 240) -> float:
    return position_only(generator, 0, fitted_on=count, tested_on=count)


def test_position_gives_the_commonest_class_of_each_place() -> None:
    """Sequences first asked at step 0 are told from those first asked at step 1.

    Odd ones: 3 of 4 are class 2. Even ones, at step 1: 2 of 3 are class 1; at step 0 they have
    the class of an odd one. So of 3 answers in two sequences: .75, .75 and 2/3 are right.
    """
    generator = Fixed(Tokens(3), classes([1, 1, 0]), classes([2, 2, 2, 1]))

    assert measured(generator) == pytest.approx((0.75 + 0.75 + 2 / 3) / 3)


def test_position_gives_the_mean() -> None:
    def of(values):
        return lambda index: torch.tensor(values)[index // 2 % 2].unsqueeze(1)

    generator = Fixed(Vectors(1), of([0.0, 2.0]), of([5.0, 5.0]))

    assert measured(generator) == pytest.approx((0 + 0 + 1) / 3)


def test_position_gives_each_bit_by_itself_and_a_set_as_a_whole() -> None:
    def of(values):
        return lambda index: torch.tensor(values)[index // 2 % len(values)]

    always = of([[1.0, 0.0]])
    sometimes = of([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # commonest bits: 1 1, which is right once

    assert measured(Fixed(Bits(2), sometimes, always)) == pytest.approx((1 + 1 + 4 / 6) / 3)
    assert measured(Fixed(Sets(2), sometimes, always)) == pytest.approx((1 + 1 + 1 / 3) / 3)


def test_position_gives_shares_of_what_is_drawn() -> None:
    """A fair coin at step 1 of even sequences, a sure thing elsewhere; nobody knows better."""
    generator = Fixed(Odds(2), classes([0, 1]), classes([1]), optimum=0.0)

    assert measured(generator, 24_000) == pytest.approx(1 / 2, abs=0.01)  # bits a sequence


def test_position_is_exact_where_all_answers_are_guessed_at_once() -> None:
    class Whole(Fixed):
        metric = "exact"

    generator = Whole(Tokens(3), classes([1, 1, 0]), classes([2]))

    assert measured(generator) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("task", EASIEST.values(), ids=list(EASIEST))
def test_the_oracle_is_perfect(task) -> None:
    scores = BASELINES["oracle"]().scores(task, 0, CPU)

    assert scores.metric == pytest.approx(task.perfect, abs=1e-5)
    assert scores.exact_rate in {1.0, None}


def test_an_oracle_that_is_wrong_is_noticed() -> None:
    class Wrong(Doubled):
        def oracle(self, inputs):
            return self.inner.oracle(inputs).flip(0)

    wrong = dataclasses.replace(TINY, generator=Wrong(TINY.generator))

    assert BASELINES["oracle"]().scores(wrong, 0, CPU).metric < 1


def test_more_guesses_are_no_worse_on_validation_and_the_same_each_time() -> None:
    def found(task, draws, seed=0):
        return BASELINES["random_search"](draws=draws).scores(task, seed, CPU).metric

    one, many = (sum(found(TINY, draws, seed) for seed in range(4)) / 4 for draws in (1, 200))

    assert many > one
    assert found(TINY, 20) == found(TINY, 20)
    assert found(ADDING, 50) < 1, "the least error is the best"


def test_guessing_weights_solves_what_needs_no_memory() -> None:
    """The last token again: a net that only looks at its input has it at once."""

    class Last(Doubled):
        answers = Tokens(2)

        def sample(self, stream, index):
            bits = stream.integers("bits", index, 5, below=2)
            asked = torch.zeros_like(bits).bool()
            asked[-1] = True
            return Batch(bits, bits, asked, asked)

    task = dataclasses.replace(TINY, generator=Last(TINY.generator))
    scores = BASELINES["random_search"](draws=1000).scores(task, 0, CPU)

    assert scores.metric == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("random_search(draws=0)", "random_search(draws=0): draws must be a whole number"),
        ("random_search(darws=3)", "no option 'darws'; did you mean 'draws'?"),
        ("oracle(k=1)", "no option 'k'."),
    ],
)
def test_an_option_it_cannot_take_is_refused(text, told) -> None:
    with pytest.raises(OptionError) as error:
        parse_subject(text)

    assert told in str(error.value)


def test_a_name_that_is_nearly_one_is_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'random_search'"):
        parse_subject("randm_search")
    with pytest.raises(UnknownNameError, match="did you mean 'lstm'"):
        parse_subject("lsmt")
    assert isinstance(parse_subject("lstm"), CellSpec)


def test_it_has_no_cell() -> None:
    with pytest.raises(OptionError, match="oracle is a baseline"):
        parse_subject("oracle").build(3, 4)


@pytest.mark.parametrize("name", BASELINES)
def test_a_trial_of_it_is_a_row_and_nothing_is_measured(name) -> None:
    spec = parse_subject(name)
    plan = make_plan(
        [spec, parse_subject("lstm")], [TINY], (0, 1), hidden=8, device="cpu", match="params"
    )
    (stack, *_) = make_stacks(plan.units, most=None, device="cpu", workers=2)
    trial = run_trial(plan.units[0], CPU)

    assert [job.spec.text for job in plan.jobs] == ["lstm"]
    assert [job.spec.text for job in plan.baselines] == [name]
    assert len(stack.units) == 1
    assert (trial.cell, trial.status, trial.steps) == (name, Status.OK, 0)
    assert trial.skill is not None
    assert math.isfinite(trial.skill)
    assert (trial.steps_to_solve == 0) == (name == "oracle")
    assert isinstance(pickle.loads(pickle.dumps(spec)), BaselineSpec)  # noqa: S301 -- our own
