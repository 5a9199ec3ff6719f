"""Techniques are plain data: found by name, changed by ``replace``, copied and pickled."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from skbnn import BinaryMLPClassifier, Technique
from skbnn.techniques import Recipe, get_technique, list_techniques


def test_names():
    assert (
        list_techniques()
        == (
            "float posttraining binaryconnect binaryconnect-stochastic bnn bitwise xnornet dorefa "
            "abcnet lqnets birealnet bop reactnet irnet adabin bit reste"
        ).split()
    )
    list_techniques().clear()
    assert "bnn" in list_techniques()


@pytest.mark.parametrize("name", list_techniques())
def test_registry(name):
    technique = get_technique(name)
    assert technique.name == name
    assert technique.reference
    assert get_technique(technique) is technique
    for family in ("logistic", "mlp", "cnn", "transformer"):
        assert technique.recipe(family).learning_rate > 0


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"Unknown technique 'bnm'; .*'float'.*'bnn'"):
        get_technique("bnm")


@pytest.mark.parametrize("value", [None, 1, ["bnn"]])
def test_neither_name_nor_technique(value):
    with pytest.raises(TypeError, match="must be a name or a skbnn.Technique"):
        get_technique(value)


def test_replace():
    bnn = get_technique("bnn")
    mine = replace(bnn, name="mine", surrogate="ede")
    assert (mine.name, mine.surrogate, mine.weights) == ("mine", "ede", bnn.weights)
    assert bnn.surrogate == "clipped"
    assert mine != bnn
    assert replace(mine, name="bnn", surrogate="clipped") == bnn
    assert get_technique(mine) is mine
    assert "mine" not in list_techniques()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distillation": 5.0}, r"distillation must be in \[0, 1\], got 5.0"),
        ({"distillation": 0.5}, "distillation=0.5 needs a teacher: set starts_from"),
        ({"latent_clip": 0.0}, "latent_clip must be positive or None, got 0.0"),
        ({"latent_clip": -1.0}, "latent_clip must be positive or None"),
        ({"share": -1.0}, "share must not be negative"),
    ],
)
def test_what_no_training_could_mean(change, message):
    with pytest.raises(ValueError, match=message):
        replace(get_technique("bnn"), **change)


def test_is_frozen_and_hashable():
    bnn = get_technique("bnn")
    with pytest.raises(FrozenInstanceError):
        bnn.surrogate = "ede"
    assert {bnn: 1}[replace(bnn)] == 1


@pytest.mark.parametrize("name", list_techniques())
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_are_equal(name, clone):
    technique = get_technique(name)
    assert clone(technique) == technique


def test_missing_recipe():
    technique = Technique(name="mine", recipes={"mlp": Recipe(learning_rate=0.01)})
    assert technique.recipe("mlp").learning_rate == 0.01
    with pytest.raises(ValueError, match=r"'mine' has no recipe for the family 'cnn'.*\['mlp'\]"):
        technique.recipe("cnn")


def test_missing_recipe_stops_a_fit():
    with pytest.raises(ValueError, match="'mine' has no recipe for the family 'mlp'"):
        BinaryMLPClassifier(technique=Technique(name="mine")).fit([[0.0], [1.0]], [0, 1])
