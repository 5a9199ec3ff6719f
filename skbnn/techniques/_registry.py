"""The built-in techniques, each a few lines, and how they are found by name.

Learning rates and dropout are those of short trainings (30 epochs, 15 for convolutions and
transformers) of small networks; papers train longer, and more slowly.
"""

from dataclasses import replace
from types import MappingProxyType

from skbnn.techniques._technique import Recipe, Technique

__all__ = ["get_technique", "list_techniques", "stages_of"]


def _recipes(logistic, mlp, cnn, transformer):
    """Return recipes of all families from their learning rates; the rest is that of ``bnn``."""
    return {
        "logistic": Recipe(learning_rate=logistic, init=0.3, input_dropout=0.1),
        "mlp": Recipe(learning_rate=mlp, init=0.1, input_dropout=0.2, hidden_dropout=0.3),
        "cnn": Recipe(learning_rate=cnn, init=0.3),
        "transformer": Recipe(learning_rate=transformer, init=0.1, hidden_dropout=0.2),
    }


_FLOAT = Technique(
    name="float",
    weights="real",
    activations="real",
    nonlinearity="relu",
    output_normalizer="scale",
    latent_clip=None,
    recipes={
        "logistic": Recipe(learning_rate=1e-2),
        "mlp": Recipe(learning_rate=3e-3, input_dropout=0.2, hidden_dropout=0.5),
        "cnn": Recipe(learning_rate=1e-2),
        "transformer": Recipe(learning_rate=2e-3, hidden_dropout=0.2),
    },
    reference="the control: same topology and budget, nothing quantized",
)

_BNN = Technique(
    name="bnn",
    recipes=_recipes(logistic=1e-1, mlp=1e-2, cnn=3e-2, transformer=1e-2),
    reference="Courbariaux et al., Binarized Neural Networks, NIPS 2016, arXiv 1602.02830",
)

_BINARYCONNECT = Technique(
    name="binaryconnect",
    activations="real",
    nonlinearity="relu",
    loss="squared_hinge",
    learning_rate_scaling="glorot",
    recipes={
        "logistic": Recipe(learning_rate=1e-2, init=1.0),
        "mlp": Recipe(learning_rate=3e-3, init=1.0),
        "cnn": Recipe(learning_rate=3e-2, init=1.0),
        "transformer": Recipe(learning_rate=3e-3, init=1.0),
    },
    reference="Courbariaux, Bengio, David, BinaryConnect, NIPS 2015, arXiv 1511.00363",
)

_STOCHASTIC = replace(
    _BINARYCONNECT,
    name="binaryconnect-stochastic",
    weights="stochastic",
    # Drawn weights are those of prediction only once latent ones have come to -1 and +1.
    recipes={
        **_BINARYCONNECT.recipes,
        "logistic": Recipe(learning_rate=3.7e-2, init=0.5),
        "mlp": Recipe(learning_rate=1e-2, init=1.0),
        "cnn": Recipe(learning_rate=1e-1, init=1.0),
    },
)

# Real weights and activations, on the inputs of the technique that starts here.
_TEACHER = replace(
    _FLOAT,
    name="teacher",
    packs=False,
    recipes={
        **_FLOAT.recipes,
        "mlp": Recipe(learning_rate=3e-3, input_dropout=0.2, hidden_dropout=0.3),
    },
)

# The same within [-1, 1], where many weights end.
_BOUNDED = replace(
    _TEACHER,
    name="bounded",
    nonlinearity="hard_tanh",
    output_normalizer="batch",
    latent_clip=1.0,
    recipes=_BNN.recipes,
)

_POSTTRAINING = replace(
    _BNN,
    name="posttraining",
    optimizer="none",
    starts_from=_BOUNDED,
    share=0.1,
    reference="the plain baseline: real training, then signs; only the norms are estimated anew",
)

_COMPRESSED = replace(
    _TEACHER, name="compressed", weights="tanh", nonlinearity="tanh", recipes=_BNN.recipes
)

_BITWISE = replace(
    _BNN,
    name="bitwise",
    surrogate="tanh",
    starts_from=_COMPRESSED,
    recipes=_recipes(logistic=3e-2, mlp=1e-2, cnn=1e-2, transformer=1e-2),
    reference="Kim and Smaragdis, Bitwise Neural Networks, 2016, arXiv 1601.06071",
)

_XNORNET = replace(
    _BNN,
    name="xnornet",
    weights="xnor",
    recipes=_recipes(logistic=1e-1, mlp=1e-2, cnn=6e-2, transformer=1e-2),
    reference="Rastegari et al., XNOR-Net, ECCV 2016, arXiv 1603.05279",
)

_DOREFA = replace(
    _BNN,
    name="dorefa",
    weights="layer-scaled",
    activations="uniform-2",
    latent_clip=None,
    reference="Zhou et al., DoReFa-Net, 2016, arXiv 1606.06160",
)

_BIREALNET = replace(
    _BNN,
    name="birealnet",
    weights="magnitude",
    surrogate="approx_sign",
    reference="Liu et al., Bi-Real Net, ECCV 2018, arXiv 1808.00278",
)

# One-bit activations on real weights, the first step of ReActNet's training.
_REAL_WEIGHTS = replace(
    _BIREALNET,
    name="real-weights",
    weights="real",
    activations="shifted",
    nonlinearity="rprelu",
    latent_clip=None,
    packs=False,
)

_REACTNET = replace(
    _REAL_WEIGHTS,
    name="reactnet",
    weights="magnitude",
    latent_clip=1.0,
    packs=True,
    starts_from=_REAL_WEIGHTS,
    distillation=0.5,
    reference="Liu et al., ReActNet, ECCV 2020, arXiv 2003.03488",
)

_IRNET = replace(
    _BNN,
    name="irnet",
    weights="libra",
    surrogate="ede",
    nonlinearity="hard_tanh",
    latent_clip=None,
    recipes=_recipes(logistic=1e-1, mlp=2e-2, cnn=6e-2, transformer=1e-2),
    reference="Qin et al., IR-Net, CVPR 2020, arXiv 1909.10788",
)

_RESTE = replace(
    _BNN,
    name="reste",
    weights="power",
    surrogate="power",
    latent_clip=None,
    recipes=_recipes(logistic=1e-1, mlp=1e-2, cnn=3e-2, transformer=2e-2),
    reference="Wu et al., Estimator Meets Equilibrium Perspective, ICCV 2023, arXiv 2308.06689",
)

_BOP = replace(
    _BNN,
    name="bop",
    optimizer="bop",
    latent_clip=None,
    reference="Helwegen et al., Latent Weights Do Not Exist, NeurIPS 2019, arXiv 1906.02107",
)

_ADABIN = replace(
    _BNN,
    name="adabin",
    weights="adaptive",
    activations="adaptive",
    surrogate="approx_sign",
    nonlinearity="maxout",
    latent_clip=None,
    # Scales follow the weights: a layer alone, at the rate of signs, does not settle.
    recipes=_recipes(logistic=3e-2, mlp=1e-2, cnn=3e-2, transformer=1e-2),
    reference="Tu et al., AdaBin, ECCV 2022, arXiv 2208.08084",
)

_ABCNET = replace(
    _BNN,
    name="abcnet",
    weights="bases-3",
    activations="bases-3",
    latent_clip=None,
    reference="Lin, Zhao, Pan, ABC-Net, NIPS 2017, arXiv 1711.11294",
)

_LQNETS = replace(
    _BNN,
    name="lqnets",
    weights="basis-2",
    activations="basis-2",
    latent_clip=None,
    reference="Zhang et al., LQ-Nets, ECCV 2018, arXiv 1807.10029",
)

_BIT_TWO = replace(
    _BNN,
    name="bit-two",
    weights="centered",
    activations="elastic-2",
    latent_clip=None,
    starts_from=_TEACHER,
    distillation=0.2,
)

_BIT = replace(
    _BIT_TWO,
    name="bit",
    activations="elastic-1",
    starts_from=_BIT_TWO,
    share=4.0,
    reference="Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016",
)

_REGISTRY = MappingProxyType(
    {
        technique.name: technique
        for technique in (
            _FLOAT,
            _POSTTRAINING,
            _BINARYCONNECT,
            _STOCHASTIC,
            _BNN,
            _BITWISE,
            _XNORNET,
            _DOREFA,
            _ABCNET,
            _LQNETS,
            _BIREALNET,
            _BOP,
            _REACTNET,
            _IRNET,
            _ADABIN,
            _BIT,
            _RESTE,
        )
    }
)


def list_techniques():
    """Return the names of the built-in techniques: the two controls, then by year.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from skbnn.techniques import list_techniques
    >>> list_techniques()[:5]
    ['float', 'posttraining', 'binaryconnect', 'binaryconnect-stochastic', 'bnn']
    """
    return list(_REGISTRY)


def get_technique(technique):
    """Return the technique of a name; a :class:`Technique` is returned as it is.

    Parameters
    ----------
    technique : str or Technique
        A name out of :func:`list_techniques`, or a technique of your own.

    Returns
    -------
    technique : Technique

    Raises
    ------
    ValueError
        If no technique has that name; the message lists the known ones.
    TypeError
        If it is neither a string nor a :class:`Technique`.
    """
    if isinstance(technique, Technique):
        return technique
    if not isinstance(technique, str):
        raise TypeError(
            f"technique must be a name or a skbnn.Technique, got {type(technique).__name__}."
        )
    try:
        return _REGISTRY[technique]
    except KeyError:
        raise ValueError(
            f"Unknown technique {technique!r}; the known techniques are "
            f"{', '.join(map(repr, _REGISTRY))}. A Technique of your own can be passed as it is."
        ) from None


def stages_of(technique, max_iter):
    """Return what is trained one after another, and for how many epochs.

    Parameters
    ----------
    technique : Technique
        The last stage.
    max_iter : int
        Epochs of all stages together. With fewer than there are stages, the first ones have none.

    Returns
    -------
    stages : list of (Technique, int)
        Stages with epochs, from the first to the technique itself, which has at least one.
    """
    chain = [technique]
    while chain[0].starts_from is not None:
        chain.insert(0, get_technique(chain[0].starts_from))
    total = sum(stage.share for stage in chain)
    last = max(1, round(max_iter * technique.share / total)) if total else max_iter
    epochs, done, share = [], 0, 0.0
    for stage in chain[:-1]:
        share += stage.share
        end = round((max_iter - last) * share / (total - technique.share)) if share else 0
        epochs.append(end - done)
        done = end
    epochs.append(max_iter - done)
    return [(stage, n) for stage, n in zip(chain, epochs, strict=True) if n]
