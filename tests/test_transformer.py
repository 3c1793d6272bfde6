"""Against transformers' own answers (fixtures/transformer), and against sums by hand."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from against_transformers import assert_same, expected, load, pictures, run
from keras import ops

from serlib import training, transformer
from serlib.transformer import BEIT, Block, Config, block_mask

TINY = Config((16, 8), (4, 4), hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=12)
TINY_BEIT = replace(TINY, **BEIT)
KINDS = pytest.mark.parametrize("config", [TINY, TINY_BEIT, replace(TINY_BEIT, positions="shared")])


def randomise(model, seed=0):
    """Weights that start at 0 or 1 hide mistakes."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


# As transformers computes it


@pytest.mark.parametrize("name", ["vit", "vit_backbone", "beit", "beit_masked", "beit_class_token"])
def test_all_states_attention_and_logits_as_in_transformers(name):
    theirs = expected(name)
    x = theirs["pictures"] if name != "beit_masked" else [theirs["pictures"], theirs["bool_masked_pos"]]
    model, logits = load(name)
    blocks = [layer for layer in model.layers if isinstance(layer, Block)]
    first = blocks[0].input
    first = first[0] if isinstance(first, list) else first
    *states, answer = run(model, x, [first, *(block.output[0] for block in blocks), logits])
    assert_same(np.stack(states, axis=1), theirs["hidden_states"])
    assert_same(transformer.attention(model, x), theirs["attentions"])
    assert_same(answer, theirs["logits"])
    assert theirs["logits"].std() > 0.5 and theirs["attentions"].std() > 0.05, "else everything would pass"


@pytest.mark.parametrize("name", ["vit_backbone", "beit"])
def test_pictures_of_another_shape_as_in_transformers(name):
    theirs = expected(name)
    x = theirs["other_pictures"]
    model, logits = load(name, x.shape[1:])
    assert_same(run(model, x, logits), theirs["other_logits"])


def test_the_other_backend_gives_the_same():
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    code = (
        f"import sys, keras, pytest; assert keras.backend.backend() == {other!r}; "
        "sys.exit(pytest.main(sys.argv[1:] + ['-p', 'no:cacheprovider', '-k', 'as_in_transformers']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __file__],
        env=os.environ | {"KERAS_BACKEND": other},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout


# Shapes


@pytest.mark.parametrize(
    "image_shape, patch_size, stride, grid",
    [
        ((16, 8), (4, 4), None, (4, 2)),
        ((16, 8, 1), (8, 2), None, (2, 4)),
        ((12, 12, 3), (4, 6), None, (3, 2)),
        ((16, 10), (6, 4), (5, 3), (3, 3)),
        ((16, 9), (16, 1), None, (1, 9)),
    ],
)
def test_any_picture_any_patch_any_stride(image_shape, patch_size, stride, grid):
    config = replace(TINY_BEIT, image_shape=image_shape, patch_size=patch_size, stride=stride)
    assert config.grid == grid
    n = grid[0] * grid[1]
    x, hidden = pictures(2, *image_shape), np.zeros((2, n), bool)
    model = transformer.classifier(config, 3)
    assert run(model, x).shape == (2, 3)
    assert run(transformer.masked(config, 7), [x, hidden]).shape == (2, n, 7)
    attention = transformer.attention(model, x)
    assert attention.shape == (2, 2, 2, n + 1, n + 1)
    np.testing.assert_allclose(attention.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image_shape": (18, 8)}, "do not cover 18 exactly: crop or pad"),
        ({"patch_size": (4, 16)}, "patches of 16.*do not cover 8"),
        ({"stride": (5, 4)}, "patches of 4, 5 apart, do not cover 16"),
        ({"num_heads": 3}, "hidden_dim 8 is not a multiple of num_heads 3"),
        ({"positions": "sine"}, "absolute, relative, shared, none, not 'sine'"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_weights_counted_by_hand():
    d, mlp, pixels, n, classes = 8, 12, 16, 1 + 4 * 2, 3
    norm, attention, perceptron = 2 * d, 4 * (d * d + d), d * mlp + mlp + mlp * d + d
    vit = (pixels * d + d) + d + n * d + 2 * (2 * norm + attention + perceptron) + norm + d * classes + classes
    assert transformer.classifier(TINY, classes).count_params() == vit
    biases = 2 * (7 * 3 + 3)  # for two heads: steps down times steps across, and the class token's three
    beit = vit - n * d + 2 * (biases - d + 2 * d)  # no bias of keys, two layer scales
    assert transformer.classifier(TINY_BEIT, classes).count_params() == beit


# Layers


def test_patches_by_hand_and_as_the_convolution_sees_them():
    x = pictures(2, 16, 8)
    ours = transformer.patches(x, TINY)
    for row in range(4):
        for column in range(2):
            cell = x[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            np.testing.assert_array_equal(ours[:, 2 * row + column], cell.reshape(2, 16))
    model = transformer.classifier(replace(TINY, hidden_dim=16), 3)
    model.get_layer("patches").set_weights([np.eye(16).reshape(4, 4, 1, 16), np.zeros(16)])
    vectors = run(model, x, model.get_layer("class_token").input)
    np.testing.assert_allclose(vectors, ours, atol=1e-6)


def test_relative_positions_by_hand():
    height, width = 3, 2
    layer = transformer.RelativePositionBias((height, width), num_heads=2)
    layer.build(None)
    table = pictures(5 * 3 + 3, 2)
    layer.table.assign(table)
    bias = ops.convert_to_numpy(layer(None))[0]
    places = [(row, column) for row in range(height) for column in range(width)]
    for i, (row, column) in enumerate(places):
        for j, (other_row, other_column) in enumerate(places):
            step = (row - other_row + height - 1) * (2 * width - 1) + column - other_column + width - 1
            np.testing.assert_array_equal(bias[:, 1 + i, 1 + j], table[step])
        np.testing.assert_array_equal(bias[:, 0, 1 + i], table[-3])  # the class token listens to a patch
        np.testing.assert_array_equal(bias[:, 1 + i, 0], table[-2])
    np.testing.assert_array_equal(bias[:, 0, 0], table[-1])
    assert len(np.unique(layer.index)) == len(table), "every entry of the table is used"


def test_whole_clips_are_left_out_in_training_by_hand():
    """With the last block's additions left out half of the time, a clip's token gains both, one, or none, doubled."""
    block = Block(2, 12, 0.0, 0.5, (True, True, True), None, "gelu", 1e-6)
    x = np.repeat(pictures(1, 9, 8), 64, axis=0)
    quiet, _ = (ops.convert_to_numpy(answer) for answer in block(x, training=False))
    np.testing.assert_allclose(quiet, np.repeat(quiet[:1], 64, axis=0), atol=1e-6)
    steps = ops.convert_to_numpy(block(x, training=True)[0]) - x
    untouched = np.abs(steps).max(axis=(1, 2)) == 0  # both left out, all tokens at once
    halves = block.attention(block.attention_norm(x))[0] * 2
    only_first = np.abs(steps - ops.convert_to_numpy(halves)).max(axis=(1, 2)) < 1e-5
    assert 4 < untouched.sum() < 28 and 4 < only_first.sum() < 28
    assert len(np.unique(steps.round(4), axis=0)) == 4


def test_later_blocks_are_left_out_more_often():
    model = transformer.classifier(replace(TINY, num_layers=3, drop_path=0.2, dropout=0.1), 3)
    rates = [layer.drop_path.rate for layer in model.layers if isinstance(layer, Block)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2])
    x = pictures(2, 16, 8)
    np.testing.assert_array_equal(run(model, x), run(model, x))
    assert np.ptp([ops.convert_to_numpy(model(x, training=True)) for _ in range(8)], axis=0).max() > 0


# Models


@KINDS
def test_a_model_saved_after_training_comes_back(config, tmp_path):
    config = replace(config, drop_path=0.1, dropout=0.1)
    x, hidden = pictures(4, 16, 8), block_mask(np.random.default_rng(0), 4, config.grid)
    classes, tokens = np.array([0, 1, 2, 0]), np.arange(4 * 8).reshape(4, 8) % 7
    normalise = keras.layers.Normalization(axis=None, mean=0.3, variance=2.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for model, inputs, target in (
        (transformer.classifier(config, 3, normalise), x, classes),
        (transformer.masked(config, 7, keras.layers.Rescaling(0.5)), [x, hidden], tokens),
    ):
        before = run(model, inputs)
        model.compile("sgd", loss, run_eagerly=True)
        model.train_on_batch(inputs, target)
        after = run(model, inputs)
        assert np.abs(after - before).max() > 1e-6
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(run(again, inputs), after, atol=1e-6)
        assert [w.path for w in again.weights] == [w.path for w in model.weights]


@KINDS
def test_what_is_hidden_is_not_seen_and_what_is_not_is(config):
    model = randomise(transformer.masked(config, 7))
    x, hidden = pictures(1, 16, 8), np.zeros((1, 8), bool)
    hidden[0, [2, 5]] = True  # patch 5: rows 8 to 12, columns 4 to 8
    before = run(model, [x, hidden])
    x[0, 8:12, 4:8] += 3
    np.testing.assert_array_equal(run(model, [x, hidden]), before)
    x[0, 8:12, :4] += 3  # patch 4
    changed = np.abs(run(model, [x, hidden]) - before).max(axis=-1)
    assert changed.min() > 1e-4, "every token hears of it, those that are hidden too"


def test_weights_go_from_one_model_to_another_by_name():
    source = randomise(transformer.masked(TINY_BEIT, 7))
    target = transformer.classifier(TINY_BEIT, 3)
    logits = target.get_layer("logits").get_weights()
    same = ["patches", "class_token", "position_0", "block_0", "position_1", "block_1"]
    assert sorted(transformer.transfer(source, target)) == sorted(same)
    for name in same:
        for ours, theirs in zip(target.get_layer(name).weights, source.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    np.testing.assert_array_equal(target.get_layer("logits").get_weights()[0], logits[0])


def test_a_model_without_attention_has_none_to_show():
    image = keras.Input((4,))
    with pytest.raises(ValueError, match="plain is no transformer of serlib"):
        transformer.attention(keras.Model(image, keras.layers.Dense(1)(image), name="plain"), pictures(1, 4))


# Hiding patches


@pytest.mark.parametrize("grid", [(14, 14), (4, 2), (1, 1), (2, 1), (1, 9), (16, 8)])
@pytest.mark.parametrize("share", [0, 0.4, 0.75, 1.0])
def test_enough_patches_are_hidden_not_many_more_and_the_same_each_time(grid, share):
    total = grid[0] * grid[1]
    masks = block_mask(np.random.default_rng(0), 20, grid, share)
    assert masks.shape == (20, total) and masks.dtype == bool
    assert masks.mean(axis=1).min() >= share
    assert masks.mean() <= share + 0.1 + 1 / total
    np.testing.assert_array_equal(masks, block_mask(np.random.default_rng(0), 20, grid, share))
    if 0 < share < 1 and total > 2:
        assert len(np.unique(masks, axis=0)) > 1


def test_what_is_hidden_first_is_one_rectangle_of_a_twelfth_at_least():
    sides = []
    for mask in block_mask(np.random.default_rng(0), 200, (14, 14), share=1e-9).reshape(-1, 14, 14):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == height * width
        sides.append((height, width))
    areas, aspects = np.prod(sides, axis=1), np.divide(*np.transpose(sides))
    assert abs(areas.mean() - 16) < 1 and 0.2 < aspects.min() < 0.5 and 2 < aspects.max() < 4


def test_no_more_than_all_can_be_hidden():
    with pytest.raises(ValueError, match=r"between 0 and 1, not 40"):
        block_mask(np.random.default_rng(0), 1, (4, 4), share=40)


def test_the_seed_reaches_every_weight():
    """An initializer made at import would give the same tokens for every seed, and others in every process."""

    def weights(seed):
        training.set_seed(seed)
        return transformer.masked(TINY, 3).weights

    first, again, other = weights(1), weights(1), weights(2)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.ptp(a) == 0 or np.any(ops.convert_to_numpy(a) != ops.convert_to_numpy(c)), a.path
    drawn = {w.path: ops.convert_to_numpy(w).ravel()[0] for w in first if np.ptp(w) > 0}
    assert len(set(drawn.values())) == len(drawn), "no two weights are the same draw"
