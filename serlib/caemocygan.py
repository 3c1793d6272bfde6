"""Synthetic rows from other emotions or other corpora: the corpus-aware emotional CycleGAN, and measures of its rows.

Nobody has published code for it, and only the abstracts of the two papers were read, with the equations of the methods
that they name in their usual form. So this is a reading, not a reproduction.

From the papers
    Su and Lee (2022, https://doi.org/10.1109/TAFFC.2022.3146325): several source corpora and one target corpus whose
    labels are not used; a cycle-consistent network with an attention over the corpora, which joins what each source
    gives into a synthetic target sample; the samples augment the source data. They tell two classes of activation and
    of valence apart, not emotions by name. Bao, Neumann and Vu (2019, https://doi.org/10.21437/Interspeech.2019-2293):
    feature vectors are transferred to each emotion by a CycleGAN with a classification loss; the result augments the
    training data or trains alone.
From the methods that they build on
    Cycle-consistency and identity losses as mean absolute differences, the second with half the weight of the first
    (Zhu et al. 2017, https://doi.org/10.1109/ICCV.2017.244). The Wasserstein loss with a penalty of 10 on critics whose
    gradient is not of norm one, measured between real and synthetic rows (Gulrajani et al. 2017, arXiv:1704.00028).
This project's reading
    Everything else. *The attention*: every source corpus has a generator of its own; each transfers the row, and the
    synthetic row is their mean under weights (a softmax over corpora) that a small network reads off the row. So a
    synthetic row has one parent, and the weights say how much each corpus gave to it. A generator is tied to its corpus
    by the cycle, which goes through it alone. *The emotion asked for* is an input of generators and critics: one
    network serves all emotions. Without labels in the target that input is zero, and a synthetic row should keep the
    emotion of its parent. *The classifier* learns from real rows alone, beside the critics. *Weights*: a critic whose
    gradient has norm one rewards a change by its length; a mean absolute difference counts it as about that length over
    the root of the number of features. So the latter is multiplied by this root here, and the usual weight of 10, which
    on short vectors would forbid every change, becomes one half. Generators add to their input and begin as the
    identity. Sizes of networks, learning rate, critic steps and numbers of steps are choices. Images are mapped by
    small convolutional networks in the same way; the papers' abstracts speak of feature vectors and of samples.

Keras is imported where it is used, so that who needs a helper alone does not wait for it. The gradient step is
TensorFlow's or JAX's; draws come from NumPy, seeded by the number of the step, so that a run that stopped goes on as if
it had not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Settings:
    """Weights of the losses and the pace of training.

    Attributes
    ----------
    cycle, identity, emotion, penalty : float
        Weights of these losses beside the adversarial one, whose is 1; the penalty's is of the critics' loss.
    learning_rate : float
        Of Adam, with decay rates 0.5 and 0.9.
    n_critic : int
        Steps of the critics and the classifier before each of the generators.
    batch_size : int
        Rows of the sources, and as many of the target, in a step.
    width : int
        Units of dense networks; images have a quarter as many filters at half resolution, half as many at a quarter.
    seed : int
        Of initial weights and of the order of rows.
    """

    cycle: float = 0.5
    identity: float = 0.25
    emotion: float = 1.0
    penalty: float = 10.0
    learning_rate: float = 5e-4
    n_critic: int = 3
    batch_size: int = 64
    width: int = 64
    seed: int = 0


# Networks: (shape of a row, length of the emotion, ...) -> keras.Model of (row, emotion) ------------------------------


def dense_generator(shape: tuple[int, ...], n_classes: int, width: int, seed: int) -> keras.Model:
    """Of vectors: the row plus what two hidden layers make of it and of the emotion asked for, at first nothing."""
    from keras import Input, Model, layers

    initial = _initialisers(seed)
    row, emotion = Input(shape), Input((n_classes,))
    h = layers.Concatenate()([row, emotion])
    for _ in range(2):
        h = layers.LeakyReLU(0.2)(layers.Dense(width, kernel_initializer=initial())(h))
    change = layers.Dense(shape[0], kernel_initializer="zeros")(h)
    return Model([row, emotion], layers.Add()([row, change]))


def dense_scorer(shape: tuple[int, ...], n_classes: int, width: int, seed: int, n_outputs: int) -> keras.Model:
    """Of vectors: critic, classifier or attention; without batch normalisation, which the penalty forbids."""
    from keras import Input, Model, layers

    initial = _initialisers(seed)
    row, emotion = Input(shape), Input((n_classes,))
    h = layers.Concatenate()([row, emotion])
    for _ in range(2):
        h = layers.LeakyReLU(0.2)(layers.Dense(width, kernel_initializer=initial())(h))
    return Model([row, emotion], layers.Dense(n_outputs, kernel_initializer=initial())(h))


def image_generator(shape: tuple[int, ...], n_classes: int, width: int, seed: int) -> keras.Model:
    """Of log-mel images: halved twice, one residual convolution, and back; the result is added to the image."""
    from keras import Input, Model, layers

    initial = _initialisers(seed)
    image, emotion = Input(shape), Input((n_classes,))

    def convolved(h, n_filters, strides=1):
        h = layers.Conv2D(n_filters, 3, strides=strides, padding="same", kernel_initializer=initial())(h)
        return layers.LeakyReLU(0.2)(h)

    few, many = max(1, width // 4), max(1, width // 2)
    h = convolved(_with_emotion(image, emotion, few, initial), many, 2)
    h = layers.Add()([h, convolved(h, many)])
    h = convolved(layers.UpSampling2D()(h), few)
    change = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")(layers.UpSampling2D()(h))
    beyond = [(0, made - wanted) for made, wanted in zip(change.shape[1:3], shape, strict=True)]
    change = layers.Reshape(shape)(layers.Cropping2D(beyond)(change))
    return Model([image, emotion], layers.Add()([image, change]))


def image_scorer(shape: tuple[int, ...], n_classes: int, width: int, seed: int, n_outputs: int) -> keras.Model:
    """Of log-mel images: three convolutions that halve, the mean over the image, a dense layer."""
    from keras import Input, Model, layers

    initial = _initialisers(seed)
    image, emotion = Input(shape), Input((n_classes,))
    h = _with_emotion(image, emotion, max(1, width // 4), initial)
    for n_filters in (max(1, width // 2), width):
        h = layers.Conv2D(n_filters, 3, strides=2, padding="same", kernel_initializer=initial())(h)
        h = layers.LeakyReLU(0.2)(h)
    h = layers.GlobalAveragePooling2D()(h)
    return Model([image, emotion], layers.Dense(n_outputs, kernel_initializer=initial())(h))


def _with_emotion(image: Any, emotion: Any, n_filters: int, initial: Callable[[], Any]) -> Any:
    """A convolution that halves the image, each of its filters lifted or lowered by the emotion."""
    from keras import layers

    h = layers.Reshape((*image.shape[1:], 1))(image)
    h = layers.Conv2D(n_filters, 3, strides=2, padding="same", kernel_initializer=initial())(h)
    lift = layers.Dense(n_filters, use_bias=False, kernel_initializer=initial())(emotion)
    return layers.LeakyReLU(0.2)(layers.Add()([h, layers.Reshape((1, 1, n_filters))(lift)]))


def _initialisers(seed: int) -> Callable[[], Any]:
    """Gives one initialiser after the other; no global seed is touched."""
    from keras import initializers

    rng = np.random.default_rng(seed)
    return lambda: initializers.HeUniform(int(rng.integers(2**31)))


LOSSES = ("critic", "penalty", "gradient", "classifier", "adversarial", "cycle", "identity", "emotion")

#: Dimensions of a row -> builders of its generators and of its scorers.
BUILDERS = {1: (dense_generator, dense_scorer), 2: (image_generator, image_scorer)}

# The network ----------------------------------------------------------------------------------------------------------


class CAEmoCyGAN:
    """Generators from one or several source corpora to a target and back, their critics, a classifier, an attention.

    Parameters
    ----------
    shape : tuple of int
        Of a row: (n_features,) or (n_frames, n_mels).
    n_classes : int
        Emotions.
    n_sources : int
        Source corpora.
    labelled : bool
        Whether the target's emotions are known: then one is asked for; else a row keeps its own.
    settings : Settings

    Attributes
    ----------
    n_steps : int
        Steps of the generators so far.
    history : DataFrame
        A row a step: ``step``; ``critic``, the negative distance between real and synthetic rows that critics see;
        ``penalty``; ``gradient``, the mean norm that it pulls towards one; ``classifier``; ``adversarial``, ``cycle``,
        ``identity`` and ``emotion``, each unweighted.

    Raises
    ------
    ValueError
        Rows of another number of dimensions.
    RuntimeError
        Keras runs on a backend other than TensorFlow and JAX.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        n_sources: int = 1,
        *,
        labelled: bool = True,
        settings: Settings | None = None,
    ):
        import keras

        if len(shape) not in BUILDERS:
            raise ValueError(f"rows have shape {shape}; vectors (n_features,) and images (n_frames, n_mels) are known")
        if keras.backend.backend() not in STEPS:
            raise RuntimeError(
                f"Keras runs on {keras.backend.backend()}, for which there is no gradient step here; "
                f"set KERAS_BACKEND to {' or '.join(STEPS)} before Keras is imported"
            )
        self.shape, self.n_classes, self.n_sources, self.labelled = tuple(shape), n_classes, n_sources, labelled
        self.settings = settings = settings or Settings()
        self.n_steps, self._log, self._rows = 0, list[dict[str, float]](), ""
        self.mean, self.scale = np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32)
        generator, scorer = BUILDERS[len(shape)]
        seeds = iter(np.random.default_rng(settings.seed).integers(2**31, size=3 * n_sources + 3).tolist())
        of = self.shape, n_classes, settings.width
        self.forward = [generator(*of, next(seeds)) for _ in range(n_sources)]
        self.backward = [generator(*of, next(seeds)) for _ in range(n_sources)]
        self.source_critics = [scorer(*of, next(seeds), 1) for _ in range(n_sources)]
        self.target_critic = scorer(*of, next(seeds), 1)
        self.classifier = scorer(*of, next(seeds), n_classes)
        self.attention_network = scorer(*of, next(seeds), n_sources)
        attention = [self.attention_network] if n_sources > 1 else []
        made = _variables([*self.forward, *self.backward, *attention])
        judging = _variables([*self.source_critics, self.target_critic, self.classifier])
        adam = [keras.optimizers.Adam(settings.learning_rate, beta_1=0.5, beta_2=0.9) for _ in range(2)]
        self._variables, self._optimisers = made + judging, adam
        for optimiser, variables in zip(adam, (made, judging), strict=True):
            optimiser.build(variables)
        step = STEPS[keras.backend.backend()]
        self._generator_step = step(self._generator_loss, made, judging, adam[0])
        self._critic_step = step(self._critic_loss, judging, made, adam[1])

    @property
    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self._log)

    def _mapped(self, networks: Sequence[Any], x: Any, emotion: Any, weight: Any) -> Any:
        """Mean of what the corpora's networks give, under weights of shape (n, n_sources)."""
        total = 0
        for k, network in enumerate(networks):
            made = network([x, emotion])
            total += made * _column(weight, k, len(made.shape))
        return total

    def _weights(self, x: Any) -> Any:
        from keras import ops

        if self.n_sources == 1:
            return ops.ones_like(ops.reshape(x, (x.shape[0], -1))[:, :1])
        return ops.softmax(self.attention_network([x, ops.zeros((x.shape[0], self.n_classes))]))

    def _generated(self, s: Any, t: Any, of_s: Any, of_t: Any, home: Any) -> tuple[Any, Any, Any]:
        """Source rows in the target by all generators and by their own alone, and target rows in those sources."""
        candidates = [network([s, of_t]) for network in self.forward]
        weights = self._weights(s)
        joined = sum(c * _column(weights, k, len(c.shape)) for k, c in enumerate(candidates))
        own = sum(c * _column(home, k, len(c.shape)) for k, c in enumerate(candidates))
        return joined, own, self._mapped(self.backward, t, of_s, home)

    def _conditions(self, label_s: Any, label_t: Any) -> tuple[Any, Any]:
        return (label_s, label_t) if self.labelled else (0 * label_s, 0 * label_t)

    def _critic_loss(self, s: Any, label_s: Any, home: Any, t: Any, label_t: Any, between: Any) -> tuple[Any, dict]:
        from keras import ops

        of_s, of_t = self._conditions(label_s, label_t)
        joined, _, back = self._generated(s, t, of_s, of_t, home)
        sides = (
            (lambda x: self.target_critic([x, of_t]), t, joined),
            (lambda x: self._mapped(self.source_critics, x, of_s, home), s, back),
        )
        critic = penalty = gradient = 0.0
        for judge, real, made in sides:
            critic += ops.mean(judge(made)) - ops.mean(judge(real))
            norm = gradient_norm(judge, between * real + (1 - between) * made)
            penalty, gradient = penalty + ops.mean((norm - 1) ** 2), gradient + ops.mean(norm) / 2
        classifier = self._cross_entropy(s, label_s)
        if self.labelled:
            classifier += self._cross_entropy(t, label_t)
        total = critic + self.settings.penalty * penalty + classifier
        return total, {"critic": critic, "penalty": penalty, "gradient": gradient, "classifier": classifier}

    def _generator_loss(self, s: Any, label_s: Any, home: Any, t: Any, label_t: Any, between: Any) -> tuple[Any, dict]:
        from keras import ops

        of_s, of_t = self._conditions(label_s, label_t)
        joined, own, back = self._generated(s, t, of_s, of_t, home)
        adversarial = -ops.mean(self.target_critic([joined, of_t]))
        adversarial -= ops.mean(self._mapped(self.source_critics, back, of_s, home))
        cycle = _distance(self._mapped(self.backward, own, of_s, home), s)
        cycle += _distance(self._mapped(self.forward, back, of_t, home), t)
        identity = _distance(self._mapped(self.forward, t, of_t, home), t)
        identity += _distance(self._mapped(self.backward, s, of_s, home), s)
        emotion = self._cross_entropy(joined, label_t if self.labelled else label_s)
        if self.labelled:
            emotion += self._cross_entropy(back, label_s)
        weight = self.settings
        total = adversarial + weight.cycle * cycle + weight.identity * identity + weight.emotion * emotion
        return total, {"adversarial": adversarial, "cycle": cycle, "identity": identity, "emotion": emotion}

    def _cross_entropy(self, x: Any, label: Any) -> Any:
        from keras import ops

        logits = self.classifier([x, 0 * label])
        return ops.mean(ops.categorical_crossentropy(label, logits, from_logits=True))

    def fit(
        self,
        source: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        target: tuple[np.ndarray, np.ndarray | None],
        *,
        n_steps: int,
        checkpoint: Path | None = None,
        every: int = 200,
    ) -> pd.DataFrame:
        """Train for so many more steps of the generators.

        Rows are drawn with the sources evenly often, and of the target the emotions, where they are known. The scale of
        each feature (of each mel band) is taken from these rows before the first step.

        Parameters
        ----------
        source : tuple (x, y, corpus)
            ndarray, shape (n, ...); ndarray of int, shape (n,); ndarray of int, shape (n,), from 0 on, or None for one.
        target : tuple (x, y)
            `y` None where the target is not `labelled`.
        n_steps : int
        checkpoint : Path, optional
            Where to `save`, after every so many steps and at the end.
        every : int

        Returns
        -------
        DataFrame
            `history`.

        Raises
        ------
        ValueError
            Rows of another shape, labels missing or given in vain, an emotion or a corpus beyond those announced; rows
            other than those that training began with, such as of another fold.
        """
        (x, y, corpus), (x_target, y_target) = source, target
        corpus = np.zeros(len(x), int) if corpus is None else corpus
        if x.shape[1:] != self.shape or x_target.shape[1:] != self.shape:
            raise ValueError(f"rows have shape {x.shape[1:]} and {x_target.shape[1:]}, not {self.shape}")
        if self.labelled == (y_target is None):
            raise ValueError("target labels are given where `labelled` is true, and only there")
        if max(y.max(), 0 if y_target is None else y_target.max()) >= self.n_classes or corpus.max() >= self.n_sources:
            raise ValueError(f"there are {self.n_classes} emotions and {self.n_sources} sources; larger numbers occur")
        rows = _fingerprint(x, y, corpus, x_target, y_target)
        if self._rows not in ("", rows):
            raise ValueError("this network was trained on other rows, which it would pass on; begin a new one")
        if not self._rows:
            self._rows = rows
            both = np.concatenate([x, x_target]).reshape(-1, self.shape[-1])
            self.mean, self.scale = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
        s, t = self._scaled(x), self._scaled(x_target)
        emotions, homes = np.eye(self.n_classes, dtype=np.float32), np.eye(self.n_sources, dtype=np.float32)
        for _ in range(n_steps):
            rng = np.random.default_rng([self.settings.seed, self.n_steps])
            told = {"step": self.n_steps + 1.0}
            for k in range(self.settings.n_critic + 1):
                a = _evenly(corpus, self.settings.batch_size, rng)
                b = _evenly(np.zeros(len(t), int) if y_target is None else y_target, len(a), rng)
                label_t = np.zeros((len(b), self.n_classes), np.float32) if y_target is None else emotions[y_target[b]]
                between = rng.uniform(size=(len(a), *[1] * len(self.shape))).astype(np.float32)
                step = self._critic_step if k < self.settings.n_critic else self._generator_step
                losses = step(s[a], emotions[y[a]], homes[corpus[a]], t[b], label_t, between)
                told |= {name: float(value) for name, value in losses.items()}
            self.n_steps += 1
            self._log.append({name: told[name] for name in ("step", *LOSSES)})
            if checkpoint and self.n_steps % every == 0:
                self.save(checkpoint)
        if checkpoint:
            self.save(checkpoint)
        return self.history

    def transfer(self, x: np.ndarray, y: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows as they would be in the target.

        Parameters
        ----------
        x : ndarray, shape (n, ...)
        y : ndarray of int, shape (n,), optional
            The emotion asked of each; of no effect where the target is not `labelled`.

        Returns
        -------
        x : ndarray of float32, shape (n, ...)
        weights : ndarray, shape (n, n_sources)
            How much each source corpus's generator gave to each.
        """
        import keras

        asked = np.zeros((len(x), self.n_classes), np.float32)
        if self.labelled and y is not None:
            asked[np.arange(len(x)), y] = 1
        made, weights = [np.empty((0, *self.shape), np.float32)], [np.empty((0, self.n_sources), np.float32)]
        for start in range(0, len(x), 256):
            part = slice(start, start + 256)
            rows = keras.ops.convert_to_tensor(self._scaled(x[part]))
            weight = self._weights(rows)
            mapped = self._mapped(self.forward, rows, keras.ops.convert_to_tensor(asked[part]), weight)
            made.append(keras.ops.convert_to_numpy(mapped) * self.scale + self.mean)
            weights.append(keras.ops.convert_to_numpy(weight))
        return np.concatenate(made).astype(np.float32), np.concatenate(weights)

    def attention(self, x: np.ndarray) -> np.ndarray:
        """Weights of the source corpora for rows, such as the target's own; shape (n, n_sources)."""
        import keras

        return keras.ops.convert_to_numpy(self._weights(keras.ops.convert_to_tensor(self._scaled(x))))

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.mean) / self.scale).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write weights, the optimisers' state, the step, scale and history into one ``.npz``, in one step."""
        told = {
            "shape": self.shape,
            "n_classes": self.n_classes,
            "n_sources": self.n_sources,
            "labelled": self.labelled,
            "rows": self._rows,
            "settings": asdict(self.settings),
        }
        arrays: dict[str, Any] = {f"variable_{k}": v for k, v in enumerate(self._state())}
        columns = list(self.history)
        part = path.with_name(f"part.{os.getpid()}.{path.name}")
        with part.open("wb") as file:
            np.savez(
                file,
                **arrays,
                told=json.dumps(told),
                n_steps=self.n_steps,
                mean=self.mean,
                scale=self.scale,
                columns=columns,
                log=self.history.to_numpy(float),
            )
        part.replace(path)

    @staticmethod
    def load(path: Path) -> CAEmoCyGAN:
        """Read what `save` wrote; `fit` then goes on as if it had not stopped.

        Raises
        ------
        ValueError
            The file was not written by `save`, or by one that had other settings; the message names it.
        """
        try:
            with np.load(path) as kept:
                told = json.loads(str(kept["told"]))
                known = {field.name for field in fields(Settings)}
                settings = Settings(**{name: value for name, value in told.pop("settings").items() if name in known})
                shape, rows = tuple(told.pop("shape")), told.pop("rows")
                gan = CAEmoCyGAN(shape, **told, settings=settings)
                gan._rows = rows
                for k, variable in enumerate(gan._variables + [v for o in gan._optimisers for v in o.variables]):
                    variable.assign(kept[f"variable_{k}"])
                gan.n_steps, gan.mean, gan.scale = int(kept["n_steps"]), kept["mean"], kept["scale"]
                gan._log = pd.DataFrame(kept["log"], columns=kept["columns"].tolist()).to_dict("records")
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} holds no network that CAEmoCyGAN.save wrote ({error}); delete it") from error
        return gan

    def _state(self) -> list[Any]:
        import keras

        every = self._variables + [v for optimiser in self._optimisers for v in optimiser.variables]
        return [keras.ops.convert_to_numpy(v) for v in every]


def _fingerprint(*arrays: np.ndarray | None) -> str:
    """A hash of the rows that a network learns from: one that knows other clips is not to go on with these."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _variables(networks: Sequence[Any]) -> list[Any]:
    return [variable for network in networks for variable in network.trainable_variables]


def _column(weight: Any, k: int, n_dimensions: int) -> Any:
    """Weights of one corpus, shaped to multiply rows."""
    from keras import ops

    return ops.reshape(weight[:, k], (-1, *[1] * (n_dimensions - 1)))


def _distance(a: Any, b: Any) -> Any:
    """Mean absolute difference on the scale of Euclidean length, as critics count; see the module's docstring."""
    from keras import ops

    return ops.mean(ops.abs(a - b)) * float(np.sqrt(np.prod(a.shape[1:])))


def _evenly(group: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of rows drawn with replacement, every group as often as another in the long run."""
    size = np.bincount(group)
    share = 1 / size[group]
    return rng.choice(len(group), n, p=share / share.sum())


# The gradient steps, of each backend ----------------------------------------------------------------------------------


def gradient_norm(judge: Callable[[Any], Any], x: Any) -> Any:
    """Norm of the gradient of a critic by each row that it judges, shape (n,); can itself be differentiated."""
    import keras
    from keras import ops

    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(lambda rows: ops.sum(judge(rows)))(x)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            judged = ops.sum(judge(x))
        gradient = tape.gradient(judged, x)
    return ops.sqrt(ops.sum(ops.reshape(gradient, (x.shape[0], -1)) ** 2, axis=1) + 1e-12)


def _tensorflow_step(loss: Callable, variables: list[Any], others: list[Any], optimiser: Any) -> Callable:
    import tensorflow as tf

    @tf.function
    def step(*batch):
        with tf.GradientTape() as tape:
            total, told = loss(*batch)
        optimiser.apply(tape.gradient(total, variables), variables)
        return told

    traced: list[Callable] = []  # once: all batches have one shape, and calls of `step` would warn of every new network

    def apply(*batch):
        tensors = [tf.convert_to_tensor(array) for array in batch]
        if not traced:
            traced.append(step.get_concrete_function(*tensors))
        return traced[0](*tensors)

    return apply


def _jax_step(loss: Callable, variables: list[Any], others: list[Any], optimiser: Any) -> Callable:
    import jax
    import keras

    def total(values, fixed, batch):
        with keras.StatelessScope([*zip(variables, values, strict=True), *zip(others, fixed, strict=True)]):
            return loss(*batch)

    @jax.jit
    def step(values, fixed, state, batch):
        (_, told), gradients = jax.value_and_grad(total, has_aux=True)(values, fixed, batch)
        return told, *optimiser.stateless_apply(state, gradients, values)

    def apply(*batch):
        values, fixed, state = ([v.value for v in these] for these in (variables, others, optimiser.variables))
        told, values, state = step(values, fixed, state, batch)
        for these, new in ((variables, values), (optimiser.variables, state)):
            for variable, value in zip(these, new, strict=True):
                variable.assign(value)
        return told

    return apply


#: Backend -> (loss, variables to train, variables of the loss that stay, optimiser) -> step of a batch.
STEPS = {"tensorflow": _tensorflow_step, "jax": _jax_step}

# The two uses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Synthetic:
    """Rows that a network made.

    Attributes
    ----------
    x : ndarray of float32, shape (n, ...)
    y : ndarray of int, shape (n,)
        The emotion asked for.
    parent : ndarray, shape (n,)
        Name of the row that each was transferred from. The networks themselves have learned from all rows given.
    weights : ndarray, shape (n, n_sources)
        What each source corpus's generator gave to it.
    sources : list
        Names of these corpora.
    history : DataFrame
        See `CAEmoCyGAN`.
    """

    x: np.ndarray
    y: np.ndarray
    parent: np.ndarray
    weights: np.ndarray
    sources: list
    history: pd.DataFrame


def synthesise(
    x: np.ndarray,
    y: np.ndarray,
    ids: Sequence | np.ndarray,
    *,
    n: int | Sequence[int] | np.ndarray,
    corpus: Sequence | np.ndarray | None = None,
    n_steps: int = 1000,
    checkpoint: Path | None = None,
    **settings: Any,
) -> Synthetic:
    """Augmentation inside a training fold: rows of other emotions, transferred to the emotions asked for.

    Sources are the fold's corpora, the target is all of its rows, and each emotion is asked of rows that have another.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_features) or (n_rows, n_frames, n_mels)
        Training rows of a fold and nothing else.
    y : ndarray of int, shape (n_rows,)
    ids : sequence
        Name of each row; see `Synthetic.parent`.
    n : int or sequence of int
        Rows wanted in all, the rarest emotions first (`share_out`), or of each emotion, from 0 on.
    corpus : sequence, optional
        Corpus of each row; one by default.
    n_steps : int
        Steps of the generators.
    checkpoint : Path, optional
        Training goes on from there if it exists, and is kept there. One file for each fold: other rows are refused.
    settings
        Of `Settings`, ``seed`` among them.

    Returns
    -------
    Synthetic

    Raises
    ------
    ValueError
        Fewer than two emotions, from which nothing can be transferred; see also `CAEmoCyGAN.fit`.
    """
    if len(np.unique(y)) < 2:
        raise ValueError("all rows have one emotion; there is no other to transfer from")
    counts = np.bincount(y, minlength=0 if isinstance(n, int) else len(n))
    wanted = share_out(counts, n) if isinstance(n, int) else np.asarray(n)
    home, sources = _numbered(corpus, len(x))
    gan = _trained((x, y, home), (x, y), len(counts), len(sources), n_steps, checkpoint, settings)
    rng = np.random.default_rng([gan.settings.seed, 1])
    others = [np.flatnonzero(y != label) for label in range(len(wanted))]
    rows = [others[label][drawn(len(others[label]), count, rng)] for label, count in enumerate(wanted)]
    asked, parents = np.repeat(np.arange(len(wanted)), wanted), np.concatenate(rows)
    made, weights = gan.transfer(x[parents], asked)
    return Synthetic(made, asked, np.asarray(ids)[parents], weights, sources, gan.history)


def adapt(
    x: np.ndarray,
    y: np.ndarray,
    ids: Sequence | np.ndarray,
    x_target: np.ndarray,
    *,
    corpus: Sequence | np.ndarray | None = None,
    n_classes: int | None = None,
    n_steps: int = 1000,
    checkpoint: Path | None = None,
    **settings: Any,
) -> Synthetic:
    """Unsupervised cross-corpus adaptation: every source row as it would sound in the target corpus, emotion kept.

    No label of the target is used. Rows of it that are tested later are heard all the same, without labels
    (transductive), unless `x_target` leaves them out; a result has to say which.

    Parameters
    ----------
    x, y, ids
        Labelled training rows of the sources, as for `synthesise`.
    x_target : ndarray, shape (n_target, ...)
    corpus : sequence, optional
        Source corpus of each row; one by default.
    n_classes : int, optional
        By default as many as occur.
    n_steps, checkpoint, settings
        As for `synthesise`.

    Returns
    -------
    Synthetic
        One row for each row of the sources, in their order.
    """
    home, sources = _numbered(corpus, len(x))
    classes = n_classes or int(y.max()) + 1
    gan = _trained((x, y, home), (x_target, None), classes, len(sources), n_steps, checkpoint, settings)
    made, weights = gan.transfer(x)
    return Synthetic(made, y, np.asarray(ids), weights, sources, gan.history)


def _numbered(corpus: Sequence | np.ndarray | None, n: int) -> tuple[np.ndarray, list]:
    names, home = np.unique(np.zeros(n, int) if corpus is None else np.asarray(corpus), return_inverse=True)
    return home, names.tolist()


def _trained(source, target, n_classes, n_sources, n_steps, checkpoint, settings) -> CAEmoCyGAN:
    if checkpoint and checkpoint.exists():
        gan = CAEmoCyGAN.load(checkpoint)
        if gan.settings != Settings(**settings):
            raise ValueError(f"{checkpoint} was trained under other settings; delete it, or ask for the same")
    else:
        shape, labelled = source[0].shape[1:], target[1] is not None
        gan = CAEmoCyGAN(shape, n_classes, n_sources, labelled=labelled, settings=Settings(**settings))
    gan.fit(source, target, n_steps=max(0, n_steps - gan.n_steps), checkpoint=checkpoint)
    return gan


def share_out(counts: Sequence[int] | np.ndarray, n: int) -> np.ndarray:
    """How many of `n` new rows each class gets if each goes to the one that is then the rarest, of those that occur.

    Parameters
    ----------
    counts : sequence of int
        Rows that each class has.
    n : int

    Returns
    -------
    ndarray of int
    """
    counts = np.asarray(counts)
    total = np.where(counts > 0, counts, np.inf)
    new = np.zeros(len(counts), int)
    for _ in range(n):
        rarest = total.argmin()
        total[rarest] += 1
        new[rarest] += 1
    return new


def drawn(size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` positions below `size` in random order, each as often as another or once more."""
    return np.concatenate([np.empty(0, int), *[rng.permutation(size) for _ in range(-(-n // size))]])[:n]


# How good are they? ---------------------------------------------------------------------------------------------------


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between two sets of rows, each taken for a normal distribution; 0 for equal ones.

    ``|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½)`` of means and covariances, squared as is the custom. Rows that are
    few for their dimension raise it: read it beside the distance between two halves of the real rows.

    Parameters
    ----------
    a, b : ndarray, shape (n, n_features)
        On one scale, such as standardised by the real rows.

    Returns
    -------
    float

    References
    ----------
    Heusel, M. et al. (2017). GANs trained by a two time-scale update rule converge to a local Nash equilibrium. Proc.
    NeurIPS.
    """
    a, b = (np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in (a, b))
    of_a, of_b = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    values, vectors = np.linalg.eigh(of_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    both = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ of_b @ root), 0)).sum()  # trace of the root of C_a C_b
    return float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(of_a) + np.trace(of_b) - 2 * both)


def nearest_copies(made: np.ndarray, training: np.ndarray) -> float:
    """Share of synthetic rows that lie nearer to a training row than that row's own nearest real neighbour does.

    Near one, rows were copied; near zero, they lie elsewhere. New real rows of the same distribution, which it is to be
    compared with, come to between a quarter and two thirds, less in more dimensions. Distances count after each feature
    was scaled to unit variance.

    Parameters
    ----------
    made : ndarray, shape (n, ...)
    training : ndarray, shape (n_training, ...)

    Returns
    -------
    float
    """
    made, training = (np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in (made, training))
    scale = np.maximum(training.std(axis=0), 1e-12)
    tree = NearestNeighbors(n_neighbors=1).fit(training / scale)
    own, _ = tree.kneighbors()
    distance, nearest = tree.kneighbors(made / scale)
    return float(np.mean(distance[:, 0] < own[nearest[:, 0], 0]))
