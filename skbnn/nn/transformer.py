"""Transformers: tokens, and pre-norm blocks of attention and feed-forward layers on a stream."""

import math
from dataclasses import dataclass, replace

import numpy as np

from skbnn.nn.attention import (
    CodedAttention,
    RealAttention,
    TokenBits,
    TokenPlanes,
    TokenReals,
    make_rule,
)
from skbnn.nn.dense import step_of
from skbnn.nn.linear import CodedHidden, CodedOutput, CodedSums
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.reals import RealHidden, RealOutput, RealProjection, RealSums
from skbnn.nn.stream import (
    CodedPositions,
    EachPlace,
    RealPositions,
    Residual,
    StreamNorm,
    StreamSign,
)
from skbnn.packed import attention as packed
from skbnn.packed.checks import narrowest

__all__ = ["Kinds", "token_owners", "transformer_blocks"]

_FINER = 4
"""The table of positions is on a grid so many times finer than the first sums."""


@dataclass(frozen=True)
class Kinds:
    """The classes of blocks that a transformer is built of.

    Attributes
    ----------
    tokens, tokens_operation, sums, positions, norm, project, attention, hidden, output : type
        One for each place in the network.
    """

    tokens: type
    tokens_operation: type
    sums: type
    positions: type
    norm: type
    project: type
    attention: type
    hidden: type
    output: type


CODED = Kinds(
    tokens=TokenBits,
    tokens_operation=packed.TokenBits,
    sums=CodedSums,
    positions=CodedPositions,
    norm=StreamSign,
    project=CodedHidden,
    attention=CodedAttention,
    hidden=CodedHidden,
    output=CodedOutput,
)
PLANES = replace(CODED, tokens=TokenPlanes, tokens_operation=packed.TokenPlanes)
REAL = Kinds(
    tokens=TokenReals,
    tokens_operation=packed.TokenReals,
    sums=RealSums,
    positions=RealPositions,
    norm=StreamNorm,
    project=RealProjection,
    attention=RealAttention,
    hidden=RealHidden,
    output=RealOutput,
)


def token_owners(features, image_shape, patch_size):
    """Share elements of rows out to tokens: patches of an image, or runs of features.

    Parameters
    ----------
    features : int64 ndarray of shape (n_elements,)
        Feature of each element, a bit or a number.
    image_shape : tuple of three ints or None
        Height, width and channels; None is a row without neighbourhoods, whose features that have
        elements are taken one after another.
    patch_size : tuple of two ints
        Height and width of a patch; without an image, (1, features of a token).

    Returns
    -------
    owners : int64 ndarray of shape (n_elements,)
        Token of each element.
    places : tuple of two ints
        Lines and columns of tokens.
    """
    if image_shape is None:
        used, features = np.unique(features, return_inverse=True)
        image_shape = (1, max(1, len(used)), 1)
    places = tuple(-(-n // p) for n, p in zip(image_shape[:2], patch_size, strict=True))
    line, column, _ = np.unravel_index(features, image_shape)
    return line // patch_size[0] * places[1] + column // patch_size[1], places


def transformer_blocks(
    inputs,
    n_classes,
    technique,
    *,
    d_model,
    n_layers,
    n_heads,
    mlp_ratio,
    image_shape,
    patch_size,
    attention,
    init,
    input_dropout,
    hidden_dropout,
    generator,
):
    """Return the blocks of a transformer.

    A stream of ``d_model`` numbers for each token begins with the sums of the token's inputs and
    a table of positions. Each layer is two branches around which the stream is led: norm,
    queries, keys and values, attention, sums; and norm, hidden units, sums. At the end the norm
    of all tokens together goes to the classes.

    Parameters
    ----------
    inputs : Input
        Prepares the rows.
    n_classes : int
        Number of classes.
    technique : Technique
        Choices on every axis; real or coded blocks follow from its activation quantizer.
    d_model, n_layers, n_heads : int
        Width of the stream, layers, and heads, which divide the width.
    mlp_ratio : float
        Hidden units for each number of the stream.
    image_shape, patch_size
        See :func:`token_owners`.
    attention : str or callable
        See :func:`skbnn.nn.attention.make_rule`; for coded attention only.
    init : float or None
        Range of the initial latent weights.
    input_dropout, hidden_dropout : float
        Fraction of the inputs, and of the last stream's bits, dropped in training.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    blocks : list of Block
    """
    probe = make_quantizer("activations", technique.activations, generator=generator)
    coded = CODED if inputs.gives_signs else PLANES
    kinds = coded if probe.coded else REAL
    if probe.coded and technique.first_last == "real":
        raise ValueError(
            f"Technique {technique.name!r} has a real first layer, and a stream of integers cannot "
            "begin with it; use first_last='coded' for a transformer."
        )
    owners, places = token_owners(inputs.operation.features, image_shape, patch_size)
    n_tokens = math.prod(places)
    make_rule(attention, n_heads, d_model // n_heads, n_tokens, technique, generator)
    owners = owners.astype(np.uint8) if n_tokens <= 256 else narrowest(owners)
    tokens = kinds.tokens_operation(owners, places)
    # Attention compares queries and keys bit by bit, whatever the other activations are.
    signs = (
        replace(technique, activations="sign", nonlinearity="none") if probe.coded else technique
    )
    n_hidden = max(1, round(mlp_ratio * d_model))

    def dense(kind, n_in, n_units, dropout=0.0, technique=technique):
        return kind(n_in, n_units, technique, init=init, dropout=dropout, generator=generator)

    def each(*args, **settings):
        return EachPlace(dense(*args, **settings), places)

    def norm():
        return kinds.norm(places, d_model, technique, generator)

    def attend():
        return kinds.attention(places, d_model, n_heads, technique, attention, generator)

    first = each(kinds.sums, tokens.length, d_model, input_dropout)
    first.read(inputs)
    blocks = [
        kinds.tokens(tokens),
        first,
        kinds.positions((*places, d_model), step_of(tokens.length) / _FINER, generator),
    ]
    for _ in range(n_layers):
        project = each(kinds.project, d_model, 3 * d_model, technique=signs)
        blocks.append(Residual([norm(), project, attend(), each(kinds.sums, d_model, d_model)]))
        hidden = each(kinds.hidden, d_model, n_hidden)
        blocks.append(Residual([norm(), hidden, each(kinds.sums, n_hidden, d_model)]))
    output = dense(kinds.output, n_tokens * d_model, n_classes, hidden_dropout)
    return [*blocks, norm(), output]
