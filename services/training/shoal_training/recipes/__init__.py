"""Built-in configurations for common cases."""

from shoal_training.recipes.recipe import RECIPES, recipe

__all__ = ["RECIPES", "recipe"]
