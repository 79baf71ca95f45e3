"""What the harness adds to a training loop that a researcher would write by hand."""

from __future__ import annotations

import dataclasses

import torch
from interleaved import race, save
from torch import nn
from torch.nn import functional

from cellbench.catalog import find_task
from cellbench.cells.lstm import LSTM
from cellbench.generators.stream import Stream
from cellbench.train.draws import training_batches
from cellbench.train.loop import Trainer, train
from cellbench.train.model import SequenceModel

TASK = find_task("copying/delay-100")
STEPS = 100


def bare_loop(steps: int, *, delay: int = 100, batch: int = 64, hidden: int = 64) -> None:
    """Train `nn.LSTM` on the same task, as in many a repository: no stream, no record."""
    torch.manual_seed(0)
    lstm, readout = nn.LSTM(10, hidden), nn.Linear(hidden, 9)
    parameters = [*lstm.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=5e-3, fused=True)

    def draw(size: int):
        symbols = torch.randint(1, 9, (10, size))
        inputs = torch.zeros(20 + delay, size, dtype=torch.int64)
        inputs[:10] = symbols
        inputs[10 + delay] = 9
        return functional.one_hot(inputs, 10).float(), symbols

    for _ in range(steps):
        x, symbols = draw(batch)
        hidden_states, _ = lstm(x)
        logits = readout(hidden_states[-10:])
        loss = functional.cross_entropy(logits.flatten(0, 1), symbols.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    with torch.no_grad():
        for _ in range((256 + 1024) // batch):  # it looks at validation and test as well
            x, symbols = draw(batch)
            (readout(lstm(x)[0][-10:]).argmax(dim=-1) == symbols).float().mean().item()


def harness(steps: int) -> None:
    torch.manual_seed(0)
    generator = TASK.generator
    model = SequenceModel(LSTM, generator.reads, generator.answers, 64)
    budget = dataclasses.replace(TASK.budget, steps=steps, validate_every=steps)
    task = dataclasses.replace(TASK, budget=budget)
    train(model, task, seed=0, steps=steps, clock=lambda: 0.0)


def test_overhead_over_a_bare_loop(benchmark) -> None:
    ratio = benchmark.pedantic(
        lambda: race(lambda: bare_loop(STEPS), lambda: harness(STEPS), rounds=15), rounds=1
    )
    print(f"\nharness / bare nn.LSTM loop, {STEPS} steps at delay 100: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save("harness-overhead", "at most 1.05", ratio, steps=STEPS, predicted=1.02)


def test_drawing_as_a_share_of_a_train_step(benchmark) -> None:
    generator, batch = TASK.generator, TASK.budget.batch
    model = SequenceModel(LSTM, generator.reads, generator.answers, 64)
    trainer = Trainer(model, learning_rate=5e-3, clip=1.0)
    batches = training_batches(generator, 0, batch, torch.device("cpu"))
    for _ in range(200):  # past the small first blocks
        question = next(batches)
    stream = Stream(0, "train")
    calls = 64

    def draws() -> None:
        for _ in range(calls):
            next(batches)

    def steps() -> None:
        for _ in range(calls):
            trainer.step(question)

    ratio = benchmark.pedantic(lambda: race(steps, draws, rounds=15), rounds=1)
    alone = race(
        lambda: trainer.step(question),
        lambda: generator.sample(stream, torch.arange(batch)),
        rounds=51,
    )
    print(f"\ndrawing / train step at delay 100, as training draws: {ratio}")
    print(f"the same, one batch at a time: {alone}")
    benchmark.extra_info["ratio"] = str(ratio)
    save("drawing", "at most 0.02", ratio, one_batch_at_a_time=alone.median, predicted=0.01)
