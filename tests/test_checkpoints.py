"""Checkpoints as Hugging Face lays them out, changed, damaged, and from a hub on this machine."""

import http.server
import json
import shutil
import socket
import threading
import time

import keras
import numpy as np
import pytest
from against_transformers import CHECKPOINTS, assert_same, expected, load, pictures, run
from huggingface_hub import constants
from keras import ops
from safetensors.numpy import load_file, save_file

from serlib import checkpoints
from serlib.checkpoints import WeightsError, from_pretrained


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
    for kernel, tolerance in ((checkpoints._linear, 1e-6), (checkpoints._cubic, 0.05)):
        wide = checkpoints._resized(table, (6, 5), (12, 10), kernel).reshape(12, 10, 2)
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


# DenseNet121, as Keras publishes it


@pytest.fixture(scope="module")
def densenet(tmp_path_factory):
    """A DenseNet121 with weights of its own in a file: (pooled features of two pictures, file)."""
    keras.utils.set_random_seed(1)
    whole = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    path = tmp_path_factory.mktemp("densenet") / "random.weights.h5"
    whole.save_weights(path)
    return run(whole, pictures(2, 32, 32, 3)), path


def test_a_densenet_takes_its_weights_from_a_file_below_the_repository(densenet, monkeypatch):
    features, path = densenet
    monkeypatch.setattr(checkpoints, "REPOSITORY", path.parent)
    loaded = checkpoints.densenet121(path.name, (32, 32, 3))
    np.testing.assert_allclose(run(loaded, pictures(2, 32, 32, 3)), features, atol=1e-5)


def test_a_densenet_cut_short_starts_at_random_and_ends_behind_a_dense_block():
    cut = checkpoints.densenet121(None, (32, 32, 3), n_blocks=2)
    assert cut.output_shape == (None, 512)
    joined = cut.layers[-4]  # the last concatenation of the block, then normalised, rectified, averaged
    assert joined.name == "conv3_block12_concat" and joined.output.shape == (None, 4, 4, 512)


def test_a_densenet_has_four_blocks():
    with pytest.raises(ValueError, match="n_blocks is 5; DenseNet121 has four dense blocks"):
        checkpoints.densenet121(None, n_blocks=5)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_files_that_are_no_densenet(tmp_path):
    with pytest.raises(WeightsError, match=r"weights are nowhere\.h5, and there is no such \.h5 file.*include_top"):
        checkpoints.densenet121("nowhere.h5", (32, 32, 3))
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    small.save_weights(tmp_path / "small.weights.h5")
    (tmp_path / "text.h5").write_text("version https://git-lfs.github.com/spec/v1")
    for name in ("small.weights.h5", "text.h5"):
        with pytest.raises(WeightsError, match=rf"{name} is not of a DenseNet121 without classifier \(\w"):
            checkpoints.densenet121(tmp_path / name, (32, 32, 3))


KERAS_DENSENET = "keras.src.applications.densenet"


@pytest.fixture
def own_keras_home(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))


def test_imagenet_weights_are_those_that_keras_fetches(densenet, monkeypatch):
    features, path = densenet
    asked = []
    monkeypatch.setattr(
        f"{KERAS_DENSENET}.file_utils.get_file", lambda name, url, **options: asked.append(url) or str(path)
    )
    fetched = checkpoints.densenet121("imagenet", (32, 32, 3))
    assert asked == [checkpoints.DENSENET_URL], "the address that errors name is Keras' own"
    np.testing.assert_allclose(run(fetched, pictures(2, 32, 32, 3)), features, atol=1e-5)


def test_imagenet_weights_without_a_network(own_keras_home, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/weights.h5"
        monkeypatch.setattr(f"{KERAS_DENSENET}.DENSENET121_WEIGHT_PATH_NO_TOP", url)
        with pytest.raises(WeightsError, match=r"could not be fetched \(URL fetch failure.*save https://.* as weights"):
            checkpoints.densenet121("imagenet", (32, 32, 3))


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(keras.applications, "DenseNet121", lambda **options: answered.wait(10))
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"could not be fetched \(0\.2 seconds were not enough\)"):
        checkpoints.densenet121("imagenet", (32, 32, 3), patience=0.2)
    assert time.monotonic() - start < 5
    answered.set()
