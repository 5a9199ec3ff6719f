"""Networks: an input and a chain of blocks, trained as one, frozen as one, packed one by one."""

import torch
from torch import nn

from skbnn.nn.block import link
from skbnn.nn.conv import conv_blocks
from skbnn.nn.inputs import make_input
from skbnn.nn.linear import linear_blocks
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import Quantizer
from skbnn.nn.transformer import transformer_blocks

__all__ = ["FrozenNetwork", "Network", "conv_network", "dense_network", "transformer_network"]


class Network(nn.Module):
    """A chain of blocks on prepared rows.

    Parameters
    ----------
    inputs : Input
        Prepares rows; the first block reads them.
    blocks : list of Block
        The last one gives class scores.
    """

    def __init__(self, inputs, blocks):
        super().__init__()
        blocks[0].read(inputs)
        link(blocks)
        self.inputs = inputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x, sample_weight=None):
        """Return class scores of prepared rows."""
        for block in self.blocks:
            x = block(x, sample_weight)
        return x

    def set_progress(self, progress):
        """Tell every quantizer which share of the fit is done."""
        for module in self.modules():
            if isinstance(module, Quantizer):
                module.progress = progress

    def share(self, processes):
        """Tell every module that looks at whole batches which processes share them.

        Parameters
        ----------
        processes : Processes
            See :mod:`skbnn.nn.processes`.
        """
        for module in self.modules():
            if hasattr(module, "processes"):
                module.processes = processes

    def estimate_statistics(self, batches):
        """Set the running statistics of every batch norm to those of the network as it is now.

        Those of training lag behind weights that flip, and saw inputs dropped and weights drawn
        at random.

        Parameters
        ----------
        batches : iterable of dict
            Keywords of :meth:`forward`. Each batch has the same say.

        References
        ----------
        Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, arXiv 2105.07576 (section 3).
        """
        norms = [module for module in self.modules() if isinstance(module, BatchNorm)]
        momentum = [norm.momentum for norm in norms]
        self.eval()
        for norm in norms:
            norm.train()
        with torch.no_grad():
            for i, batch in enumerate(batches):
                for norm in norms:
                    norm.momentum = 1 / (i + 1)
                self(**batch)
        for norm, usual in zip(norms, momentum, strict=True):
            norm.momentum = usual
        self.eval()

    def latent(self):
        """Return the latent weights by name: the tensors that quantizers of weights read."""
        modules = self.named_modules()
        return {f"{name}.weight": m.weight for name, m in modules if hasattr(m, "weight_quantizer")}

    def arrays(self):
        """Return every parameter and running statistic as a float32 NumPy array, by name."""
        return {name: t.detach().cpu().numpy().copy() for name, t in self.state_dict().items()}

    def restore(self, arrays):
        """Set parameters and running statistics from :meth:`arrays`.

        Returns
        -------
        self : Network
        """
        self.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
        return self

    def adopt(self, other):
        """Take over what another network has too, of the same name and shape.

        Parameters
        ----------
        other : Network
            A trained network.
        """
        own = self.state_dict()
        # The scale that makes sums into logits belongs to the weights as they are quantized here.
        shared = {
            name: value
            for name, value in other.state_dict().items()
            if name in own and own[name].shape == value.shape and not name.endswith(".gain")
        }
        self.load_state_dict({**own, **shared})

    def freeze(self):
        """Turn to float64 and evaluation, and snap real constants to the packed integers.

        Returns
        -------
        self : Network
        """
        self.cpu().double().eval().requires_grad_(False)
        signal = self.inputs.signal
        for block in self.blocks:
            signal = block.freeze(signal)
        return self

    def pack(self):
        """Return the operations of the frozen network and the real worth of a score.

        Returns
        -------
        operations : tuple of Operation
        score_unit : float
        """
        operations = (self.inputs.operation, *(block.pack() for block in self.blocks))
        return operations, self.blocks[-1].score_unit


class FrozenNetwork(nn.Module):
    """A frozen network on raw rows: what the packed program computes, as a torch module.

    Parameters
    ----------
    network : Network
        A frozen network.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, X):
        """Return the class scores of raw rows.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Raw rows.

        Returns
        -------
        scores : float64 Tensor of shape (n, n_classes)
            Whole numbers, equal to the packed model's scores, for coded techniques.
        """
        with torch.no_grad():
            return self.network(self.network.inputs(X))


def dense_network(operation, n_classes, technique, *, hidden_layer_sizes, **settings):
    """Return a feed-forward network; without hidden layers, a logistic regression.

    Without inputs, which is where every feature is constant, it has no hidden layers.

    Parameters
    ----------
    operation : Operation
        Fitted input operation.
    n_classes : int
        Number of classes.
    technique : Technique
        Choices on every axis.
    hidden_layer_sizes : sequence of int
        Units of each hidden layer.
    **settings
        Further arguments of :func:`skbnn.nn.linear.linear_blocks`.

    Returns
    -------
    network : Network
    """
    inputs = make_input(operation)
    if operation.gives.width == 0:
        # Where every feature is constant, hidden units would tell nothing but noise of training.
        hidden_layer_sizes = ()
    widths = (operation.gives.width, *hidden_layer_sizes, n_classes)
    return Network(inputs, linear_blocks(widths, technique, **settings))


def conv_network(
    operation,
    n_classes,
    technique,
    *,
    channels,
    kernel_size,
    strides,
    pool_sizes,
    padding_value,
    residual,
    hidden_layer_sizes,
    hidden_dropout,
    **settings,
):
    """Return a convolutional network: convolutions, then dense layers.

    Without inputs, which is where every pixel is the same, it has the last layer alone.

    Parameters
    ----------
    operation : Operation
        Fitted input operation of images.
    n_classes : int
        Number of classes.
    technique : Technique
        Choices on every axis.
    channels, kernel_size, strides, pool_sizes, padding_value, residual
        See :func:`skbnn.nn.conv.conv_blocks`.
    hidden_layer_sizes : sequence of int
        Units of each dense hidden layer.
    hidden_dropout : float
        Fraction of the results of each hidden layer dropped in training.
    **settings
        Further arguments of :func:`skbnn.nn.conv.conv_blocks`.

    Returns
    -------
    network : Network
    """
    inputs = make_input(operation)
    if operation.gives.width == 0:
        channels = strides = pool_sizes = hidden_layer_sizes = ()
    blocks, width = conv_blocks(
        operation.shape,
        channels,
        kernel_size,
        strides,
        pool_sizes,
        technique,
        padding_value=padding_value,
        residual=residual,
        hidden_dropout=hidden_dropout,
        **settings,
    )
    settings["input_dropout"] = hidden_dropout if blocks else settings["input_dropout"]
    widths = (width, *hidden_layer_sizes, n_classes)
    dense = linear_blocks(
        widths,
        technique,
        hidden_dropout=hidden_dropout,
        reads_inputs=not blocks,
        **settings,
    )
    return Network(inputs, [*blocks, *dense])


def transformer_network(
    operation,
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
    **settings,
):
    """Return a transformer.

    Without inputs, which is where every feature is constant, it has the last layer alone.

    Parameters
    ----------
    operation : Operation
        Fitted input operation.
    n_classes : int
        Number of classes.
    technique : Technique
        Choices on every axis.
    d_model, n_layers, n_heads, mlp_ratio, image_shape, patch_size, attention
        See :func:`skbnn.nn.transformer.transformer_blocks`.
    **settings
        Further arguments of it.

    Returns
    -------
    network : Network
    """
    inputs = make_input(operation)
    if operation.gives.width == 0:
        return Network(inputs, linear_blocks((0, n_classes), technique, **settings))
    blocks = transformer_blocks(
        inputs,
        n_classes,
        technique,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        mlp_ratio=mlp_ratio,
        image_shape=image_shape,
        patch_size=patch_size,
        attention=attention,
        **settings,
    )
    return Network(inputs, blocks)
