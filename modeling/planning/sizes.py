"""Numbers of weights from a recipe alone, without torch."""

from modeling.core.recipes import ModelRecipe


def layer_parameters(recipe: ModelRecipe) -> int:
    """Returns the number of weights of a decoder layer."""
    head = recipe.hidden // recipe.heads
    attention = recipe.hidden * head * (2 * recipe.heads + 2 * recipe.kv_heads)
    return attention + 3 * recipe.hidden * recipe.ffn + 2 * recipe.hidden


def root_parameters(recipe: ModelRecipe) -> int:
    """Returns the number of weights outside the decoder layers: embeddings, last norm, output matrix if it is not tied."""
    return recipe.hidden * recipe.vocab_size * (1 if recipe.tied_embeddings else 2) + recipe.hidden


def parameters(recipe: ModelRecipe) -> int:
    """Returns the number of weights of a Llama of this recipe; tied ones count once."""
    return recipe.layers * layer_parameters(recipe) + root_parameters(recipe)
