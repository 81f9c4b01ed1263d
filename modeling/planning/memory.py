"""Memory of a training step on one device by part, when FSDP2 shards everything over all devices.

Weights, gradients and AdamW moments are float32 and sharded. A decoder layer is a unit of FSDP2; embeddings, last norm and
output matrix are another one, which stays gathered. Units are gathered in bfloat16, the next one ahead of its use.
Gradients are reduced in float32 after every micro-batch. The activations of a decoder layer are kept, or computed again in
the backward pass. A test holds these sums against torch's own tracker (simulation.py).
"""

from dataclasses import dataclass

from modeling.core.recipes import ModelRecipe
from modeling.core.training import MICRO_BATCH_TOKENS
from modeling.planning import sizes

FLOAT32, BFLOAT16 = 4, 2


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the peak of a step, by part."""

    weights: float
    gradients: float
    moments: float
    gathered: float  # whole weights in use, and whole gradients on their way to the other devices
    activations: float  # kept from the forward to the backward pass
    working: float  # of what is computed at the peak: the loss from the logits, or the gradients of a layer

    @property
    def total(self) -> float:
        return sum(vars(self).values())


def micro_batch(sequences: int, context: int) -> int:
    """Returns the sequences that a device holds at once: its share of the global batch in equal parts."""
    most = max(1, MICRO_BATCH_TOKENS // context)
    return next(count for count in range(min(most, sequences), 0, -1) if sequences % count == 0)


def training_memory(recipe: ModelRecipe, devices: int, sequences: int, recompute: bool) -> Memory:
    """Returns the memory of one of `devices` that holds `sequences` of the recipe's context at once.

    The peak is in one of two moments: when the loss is differentiated, or a decoder layer.
    """
    tokens = sequences * recipe.context
    share = sizes.parameters(recipe) / devices
    states = {"weights": FLOAT32 * share, "gradients": FLOAT32 * share, "moments": 2 * FLOAT32 * share}
    layer, whole = sizes.layer_parameters(recipe), layer_activations(recipe, tokens)
    kept = recipe.layers * (BFLOAT16 * tokens * recipe.hidden if recompute else whole)
    root = BFLOAT16 * sizes.root_parameters(recipe)
    output = BFLOAT16 * recipe.hidden * recipe.vocab_size
    at_the_loss = Memory(
        **states,
        gathered=root + BFLOAT16 * layer,
        activations=kept,
        working=loss_activations(recipe, tokens),
    )
    in_a_layer = Memory(
        **states,
        # Two layers, the gradient of the output matrix, one of the layer's matrices, and the gradients of the layer before.
        gathered=root + 2 * BFLOAT16 * layer + output + BFLOAT16 * recipe.hidden * recipe.ffn + FLOAT32 * layer,
        activations=kept,
        working=(whole if recompute else 0) + 4 * tokens * (recipe.ffn + recipe.hidden),
    )
    return max(at_the_loss, in_a_layer, key=lambda memory: memory.total)


def ppo_bytes(count: int, critic: bool, devices: int = 1) -> float:
    """Returns the bytes of PPO's models of `count` parameters each on one of `devices`, without activations and caches.

    The policy and the critic learn (float32 weights, gradients, two moments); the reference is float32. Devices share
    these. Each holds whole, in bfloat16, the copy of the policy that answers and two reward models
    (modeling/rlhf/ppo/networks.py).
    """
    shared, whole = 4 * FLOAT32 * (2 if critic else 1) + FLOAT32, 3 * BFLOAT16
    return count * (shared / devices + whole)


def layer_activations(recipe: ModelRecipe, tokens: int) -> float:
    """Returns the bytes that a decoder layer keeps of `tokens` tokens for its backward pass.

    In bytes a token: 8 · hidden + 4 in each of the two norms (the input in float32, the result before and after its
    weight in bfloat16, and a scale); 2 · hidden each of queries, keys, values, attention's result and its copy for the
    output projection, with keys and values repeated for all heads, as torch's attention on a CPU does; 4 · heads of
    attention's sums; 8 · ffn of the gate, its activation, the other half and their product.
    """
    return tokens * (26 * recipe.hidden + 8 + 4 * recipe.heads + 8 * recipe.ffn)


def loss_activations(recipe: ModelRecipe, tokens: int) -> float:
    """Returns the bytes of the last norm, and of log-probabilities and their two gradients in float32."""
    return tokens * (8 * recipe.hidden + 4 + 3 * FLOAT32 * recipe.vocab_size)
