"""The headline that a run prints before it begins."""

from collections.abc import Iterator
from pathlib import Path

from keras_mgnet.description import count_params
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.loop.prepare import Prepared
from keras_mgnet.training.runs.state import Progress

FEW = 10  # steps per epoch


def headline(prepared: Prepared, directory: Path, progress: Progress) -> str:
    """Returns one line with the model, the data and the length of the run, and one line for each setting you may not expect."""
    config, data, model, replicas = prepared.config, prepared.data, prepared.model, prepared.strategy.replicas
    first = (
        f"{model.name} ({count_params(model):,} parameters) on {config.dataset} "
        f"({_counted(data.counts, prepared.task.examples)}), {config.epochs} epochs of {prepared.steps} steps"
        + (f" on {replicas} replicas" if replicas > 1 else "")
        + (f", from {progress.name}" if progress.epoch or progress.step else "")
        + f" -> {directory}"
    )
    return "\n".join([first, *_remarks(prepared)])


def _counted(counts: tuple[int, ...], examples: str) -> str:
    *first, last = (
        f"{count:,} {part}" for count, part in zip(counts, ("training", "test", "validation"), strict=False)
    )
    return f"{', '.join(first)} and {last} {examples}"


def _remarks(prepared: Prepared) -> Iterator[str]:
    config, recipe, strategy = prepared.config, prepared.recipe, prepared.strategy
    if isinstance(prepared.data, Dataset) and prepared.data.is_streamed:
        gigabytes = sum(split.images.nbytes for split in prepared.data.splits.values()) / 1e9
        advice = "" if prepared.data.train.images.fit == "centre" else " (--stream off)"
        yield f"images are decoded when they are needed; in memory they would take {gigabytes:.2f} GB{advice}"
    if strategy.replicas > 1:
        yield strategy.outcome(prepared.model, config.sync_norms)
    if config.schedule != recipe.curve and config.schedule == recipe.scaled(config.epochs).curve:
        yield f"{config.schedule} schedule instead of the recipe's {recipe.curve}; --schedule {recipe.curve} keeps the recipe's"
    if prepared.steps < FEW:
        yield (
            f"{prepared.steps} steps per epoch, from {prepared.data.counts[0]:,} {prepared.task.examples} in batches of "
            f"{config.batch_size}; a smaller batch size gives more steps"
        )
