"""The table of recipes."""

from keras_mgnet.recipes import RECIPES, Recipe
from keras_mgnet.reporting import table

HEADINGS = ("name", "epochs", "batch", "rate", "schedule", "weight decay", "optimiser", "augment", "extras", "source")


def recipe_table() -> str:
    """Returns a row for each recipe."""
    return table(HEADINGS, [_row(name, recipe) for name, recipe in RECIPES.items()])


def _row(name: str, recipe: Recipe) -> tuple[str, ...]:
    return (
        f"`{name}`",
        f"{recipe.epochs:,}",
        str(recipe.batch_size),
        f"{recipe.learning_rate:g}",
        _schedule(recipe),
        f"{recipe.weight_decay:g}" + (", kernels alone" if recipe.decayed == "kernels" else ""),
        _optimizer(recipe),
        recipe.augment.replace("_", " "),
        ", ".join(_besides(recipe)),
        recipe.source,
    )


def _schedule(recipe: Recipe) -> str:
    steps = f" at {', '.join(map(str, recipe.milestones))}" if recipe.milestones else ""
    return recipe.curve + steps


def _optimizer(recipe: Recipe) -> str:
    if recipe.rule == "adam":
        return "Adam"
    return f"{'Nesterov' if recipe.nesterov else 'SGD'}, {recipe.momentum:g}"


def _besides(recipe: Recipe) -> list[str]:
    parts = {
        f"warm-up {recipe.warmup_epochs:g} epochs": recipe.warmup_epochs,
        f"label smoothing {recipe.label_smoothing:g}": recipe.label_smoothing,
        f"averaged weights {recipe.ema:g}": recipe.ema,
        f"rate of beta times {recipe.beta_rate:g}": recipe.beta_rate != 1,
    }
    if recipe.kernel_rate:
        parts[f"orthogonal steps of kernels at {recipe.kernel_rate:g} of the rate"] = True
    return [words for words, value in parts.items() if value]
