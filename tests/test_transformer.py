"""Against transformers' own answers (fixtures/transformer), against sums by hand, and from a hub on this machine."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from huggingface_hub import constants
from keras import ops
from safetensors.numpy import load_file, save_file

from serlib import training, transformer
from serlib.transformer import BEIT, Block, Config, WeightsError, block_mask, from_pretrained

CHECKPOINTS = Path(__file__).parent / "fixtures" / "transformer"
TINY = Config((16, 8), (4, 4), hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=12)
TINY_BEIT = replace(TINY, **BEIT)
KINDS = pytest.mark.parametrize("config", [TINY, TINY_BEIT, replace(TINY_BEIT, positions="shared")])


def run(model, inputs, outputs=None):
    """What a model, or one or more of its tensors, make of inputs, as arrays."""
    asked = model if outputs is None else keras.Model(model.input, outputs)
    return keras.tree.map_structure(ops.convert_to_numpy, asked(inputs, training=False))


def randomise(model, seed=0):
    """Weights that start at 0 or 1 hide mistakes."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# As transformers computes it


def expected(name):
    stored = load_file(CHECKPOINTS / name / "expected.safetensors")
    return stored | {key: value.transpose(0, 2, 3, 1) for key, value in stored.items() if key.endswith("pictures")}


def load(name, image_shape=None):
    """The checkpoint, and the tensor that is to equal transformers' logits: a backbone's is what a head would read."""
    model = from_pretrained(CHECKPOINTS / name, image_shape, n_classes=2 if name == "vit_backbone" else None)
    return model, model.get_layer("logits").input if name == "vit_backbone" else model.output


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


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


# Published checkpoints


@pytest.fixture
def copy(tmp_path):
    """A checkpoint of one's own to change: `copy(name, change)`, where change gets its weights and its config."""

    def copied(name, change=lambda weights, told: None):
        folder = tmp_path / name
        shutil.copytree(CHECKPOINTS / name, folder, dirs_exist_ok=True)
        weights, told = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
        change(weights, told)
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(told))
        return folder

    return copied


def tables(model):
    return {w.path: ops.convert_to_numpy(w) for w in model.weights if w.path.startswith("position")}


@pytest.mark.parametrize("name", ["vit", "beit", "beit_masked"])
def test_position_tables_on_another_grid(name, copy):
    stored = load_file(CHECKPOINTS / name / "model.safetensors")
    stored = [value for key, value in stored.items() if "position_" in key]
    same = tables(from_pretrained(CHECKPOINTS / name))
    assert len(same) == len(stored) > 0
    for ours, theirs in zip(same.values(), stored, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = tables(from_pretrained(CHECKPOINTS / name, (24, 40, 3)))

    def constant(weights, told):
        for key in weights:
            if "position_" in key:
                weights[key] = np.full_like(weights[key], 0.7)

    flat = tables(from_pretrained(copy(name, constant), (24, 40, 3)))
    for path in same:
        of_class = np.s_[:, :1] if name == "vit" else np.s_[-3:]
        np.testing.assert_array_equal(other[path][of_class], same[path][of_class])
        assert other[path].size != same[path].size
        np.testing.assert_allclose(flat[path], 0.7, rtol=1e-6)


def test_a_slope_stays_a_slope_where_nothing_is_repeated():
    """Rows and columns are not exchanged, and places are those of the patches' centres."""
    row, column = np.indices((6, 5))
    table = np.stack([row, column], axis=-1).reshape(-1, 2).astype("float32")
    for kernel, tolerance in ((transformer._linear, 1e-6), (transformer._cubic, 0.05)):
        wide = transformer._resized(table, (6, 5), (12, 10), kernel).reshape(12, 10, 2)
        np.testing.assert_allclose(wide[4:8, 0, 0], [1.75, 2.25, 2.75, 3.25], atol=tolerance)
        np.testing.assert_allclose(wide[0, 4:6, 1], [1.75, 2.25], atol=tolerance)


def test_three_colours_are_averaged_for_one_channel():
    coloured = from_pretrained(CHECKPOINTS / "vit")
    for image_shape in ((32, 16), (32, 16, 1)):
        grey = from_pretrained(CHECKPOINTS / "vit", image_shape)
        x = pictures(2, *image_shape)
        three = np.repeat(x.reshape(2, 32, 16, 1), 3, axis=-1) / 3
        np.testing.assert_allclose(run(grey, x), run(coloured, three), atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "vit_backbone", "beit", "beit_masked", "beit_class_token"])
def test_classes_of_ones_own_take_all_but_the_head(name):
    scale = keras.layers.Normalization(axis=None)
    scale.adapt(pictures(10, 4) * 3 + 5)
    ours = from_pretrained(CHECKPOINTS / name, n_classes=5, normalise=scale, dropout=0.1, drop_path=0.2)
    theirs, _ = load(name)
    assert ours.output.shape == (None, 5) and ours.layers[1] is scale
    np.testing.assert_allclose(float(ops.convert_to_numpy(scale.mean).squeeze()), 5, atol=2)
    fresh = {"logits", *(["norm"] if name == "beit_masked" else [])}  # what was pre-trained has no such layer
    for layer in ours.layers:
        if layer.name not in fresh | {scale.name}:
            known = theirs.get_layer(layer.name).get_weights() if layer.weights else []
            for a, b in zip([w for w in layer.get_weights() if w.dtype == np.float32], known, strict=True):
                np.testing.assert_array_equal(a, b)
    assert np.abs(ours.get_layer("logits").get_weights()[0]).max() < 1
    np.testing.assert_array_equal(ours.get_layer("logits").get_weights()[1], 0)
    assert ours.get_layer("block_1").drop_path.rate == 0.2


def without(key):
    return lambda weights, told: weights.pop(key)


def with_weight(key, value):
    return lambda weights, told: weights.update({key: value})


def told(**changes):
    return lambda weights, config: config.update(changes)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("vit", told(model_type="swin"), r"config\.json: model_type is 'swin'; only vit and beit"),
        ("vit", told(hidden_act="quick_gelu"), r"config\.json: hidden_act 'quick_gelu'"),
        ("vit", lambda _, config: config.pop("patch_size"), r"config\.json does not say 'patch_size'"),
        ("beit", told(use_absolute_position_embeddings=True), r"config\.json: .*relative and absolute at once"),
        ("vit", without("vit.layernorm.bias"), r"model\.safetensors has no weight layernorm\.bias, which config\.json"),
        ("beit", without("beit.encoder.layer.1.lambda_2"), r"has no weight encoder\.layer\.1\.lambda_2"),
        ("vit", with_weight("vit.extra", np.ones(2)), r"model\.safetensors: nothing here takes extra; is it a plain"),
        ("vit", with_weight("vit.layernorm.bias", np.ones(3)), r"layernorm\.bias has shape \(3,\), not \(32,\)"),
        ("vit", told(image_size=32), r"position_embeddings has shape \(1, 9, 32\), not \(1, 17, 32\)"),
        ("beit_masked", with_weight("beit.layernorm.bias", np.ones(32)), r"model\.safetensors normalises twice"),
        ("vit_backbone", told(), "vit_backbone has no classes of its own: say how many there are, n_classes="),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_where(name, change, message, copy):
    with pytest.raises(WeightsError, match=message) as error:
        from_pretrained(copy(name, change))
    assert str(CHECKPOINTS) not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_or_cannot_be_read(name, copy):
    folder = copy("vit")
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(WeightsError, match=r"vit does not hold a readable config\.json and model\.safetensors"):
        from_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"readable config\.json and model\.safetensors: .*{name}"):
        from_pretrained(str(folder))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"no folder .*nowhere; it is to hold config\.json and model\.safetensors"):
        from_pretrained(tmp_path / "nowhere")


# The hub


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: /owner/name/resolve/main/file."""

    def do_HEAD(self):
        self.server.asked.append((self.command, self.path))
        prefix, _, name = self.path.rpartition("/")
        path = CHECKPOINTS / "vit" / name
        found = prefix == "/owner/name/resolve/main" and path.is_file()
        body = path.read_bytes() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{name}"')
        self.send_header("Content-Length", str(len(body)))
        if not found:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine and a cache of the test's own: (server, stop)."""
    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        changes = dict(ENDPOINT=url, HUGGINGFACE_CO_URL_TEMPLATE=url + "/{repo_id}/resolve/{revision}/{filename}")
        changes |= dict(HF_HUB_CACHE=str(tmp_path / "hub"), HF_HUB_DISABLE_XET=True, HF_HUB_DISABLE_TELEMETRY=True)
        changes |= dict(HF_HUB_DISABLE_IMPLICIT_TOKEN=True, HF_HUB_OFFLINE=False)
        for name, value in changes.items():  # huggingface_hub reads its environment when it is imported
            monkeypatch.setattr(constants, name, value)

        def stop():
            server.shutdown()
            thread.join()
            server.server_close()

        yield server, stop
        stop()


def test_a_name_is_fetched_once_and_then_taken_from_the_cache(hub, tmp_path):
    server, stop = hub
    theirs = expected("vit")
    assert_same(run(from_pretrained("owner/name"), theirs["pictures"]), theirs["logits"])
    fetched = [path.rpartition("/")[2] for command, path in server.asked if command == "GET"]
    assert sorted(fetched) == ["config.json", "model.safetensors"]
    assert any((tmp_path / "hub").rglob("model.safetensors"))
    stop()
    assert_same(run(from_pretrained("owner/name"), theirs["pictures"]), theirs["logits"])


REMEDY = r"could not be fetched \({}\).*save config\.json and model\.safetensors from .*/{}/tree/main into a folder"


def test_a_name_that_is_not_on_the_hub(hub):
    with pytest.raises(WeightsError, match=REMEDY.format("RepositoryNotFoundError", "owner/other")):
        from_pretrained("owner/other")


def test_without_a_network_the_remedy_is_said_at_once(hub, monkeypatch):
    server, _ = hub
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=REMEDY.format("LocalEntryNotFoundError", "owner/name")):
        from_pretrained("owner/name")
    assert server.asked == [] and time.monotonic() - start < 5


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
