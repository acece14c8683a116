"""Real predictions with true labels, to simulate a person's answers on.

Oxford Pets, Caltech-101 and ArtDL come with outputs of real vision-language models, CIFAR-10N and CIFAR-10H with the
labels of people. On digits, Fashion-MNIST and FER2013 scikit-learn's classifiers are fitted to few or wrong labels, so
that there are learners of different quality which err on the same images.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier


@dataclass(frozen=True)
class Cell:
    """Models on one set of images.

    Attributes:
        name: of the set.
        models: their names (K).
        scores: probabilities (K N C); zero everywhere where a model gave no answer.
        truth: classes (N).
        features: of the images (N D), or None.
    """

    name: str
    models: tuple[str, ...]
    scores: np.ndarray
    truth: np.ndarray
    features: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """Classes (K N); -1 without an answer."""
        return np.where(self.scores.max(2) > 0, self.scores.argmax(2), -1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right (K N)."""
        return self.predicted == self.truth

    @property
    def confidence(self) -> np.ndarray:
        """Largest probability (K N)."""
        return self.scores.max(2).astype(np.float64)


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return (raised / raised.sum(-1, keepdims=True)).astype(np.float32)


def zero_shot(features: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """CLIP's probabilities of each text source, and their mean (sources + 1, N, C)."""
    each = np.stack([softmax(100 * features @ text.T) for text in texts])
    return np.concatenate([each, each.mean(0, keepdims=True)])


def heads(features: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Students of the votes on the same features: nearest neighbors, discriminant analysis, logistic regression."""
    students = (
        KNeighborsClassifier(10),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5),
        LogisticRegression(C=1.0, max_iter=60),
    )
    return np.stack([spread(student.fit(features, votes), features, int(votes.max()) + 1) for student in students])


def spread(model: ClassifierMixin, features: np.ndarray, classes: int) -> np.ndarray:
    """A model's probabilities over all classes, also those it never saw."""
    wide = np.zeros((len(features), classes), dtype=np.float32)
    wide[:, model.classes_] = model.predict_proba(features)
    return wide


def pets(data: Path) -> Cell:
    """25 breeds, CLIP B/32, three families of prompts, their mean, and three students."""
    file = np.load(data / "real_vlm" / "oxford_pets_clip_vitb32.npz")
    kept = np.flatnonzero(np.isfinite(file["text_b32"][:, :, 0]).all(0))
    mine = np.isin(file["test_labels"], kept)
    features, truth = unit(file["test"][mine]), np.searchsorted(kept, file["test_labels"][mine])
    scores = zero_shot(features, unit(file["text_b32"][:, kept]))
    students = heads(features, scores[-1].argmax(1))
    names = (*(f"prompt {i}" for i in range(1, 4)), "mean", "kNN", "LDA", "logistic")
    return Cell("Pets", names, widened(scores, students), truth, features)


def widened(*parts: np.ndarray) -> np.ndarray:
    """Probabilities (K N C) of several families, over as many classes as the widest has."""
    classes = max(part.shape[2] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, 0), (0, classes - part.shape[2]))) for part in parts])


def caltech(data: Path) -> Cell:
    """34 classes, CLIP B/32 and B/16 with ImageNet's prompts, and students of either."""
    file = np.load(data / "real_vlm" / "caltech101_clip_vitb32_vitb16.npz")
    text = file["text_b16_imagenet"]
    of_b32 = [np.isfinite(one[:, 0]) for one in file["text_b32"]]
    kept = np.flatnonzero(np.isfinite(text[:, 0]) & np.any(of_b32, axis=0))
    mine = np.isin(file["test_labels"], kept)
    truth = np.searchsorted(kept, file["test_labels"][mine])
    first = np.argmax(of_b32, axis=0)
    b32, b16 = unit(file["test_b32"][mine]), unit(file["test_b16"][mine])
    small = softmax(100 * b32 @ unit(file["text_b32"][first[kept], kept]).T)[None]
    large = softmax(100 * b16 @ unit(text[kept]).T)[None]
    parts = (small, large, heads(b32, small[0].argmax(1)), heads(b16, large[0].argmax(1)))
    kinds = ("kNN", "LDA", "logistic")
    names = ("B/32", "B/16", *(f"B/32 {kind}" for kind in kinds), *(f"B/16 {kind}" for kind in kinds))
    return Cell("Caltech", names, widened(*parts), truth, b32)


def artdl(data: Path) -> Cell:
    """19 vision-language models on paintings of ten saints."""
    file = np.load(data / "real_vlm" / "saints_artdl_vlm_probs.npz")
    scores = np.nan_to_num(file["probs_labels"].astype(np.float32))
    scores[np.ptp(scores, axis=2) < 1e-6] = 0
    total = scores.sum(2, keepdims=True)
    scores = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
    return Cell("ArtDL", tuple(map(str, file["models"])), scores, file["labels"].astype(np.int64))


def fitted(name: str, train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> Cell:
    """scikit-learn's classifiers, fitted to the labels they are given."""
    reduced = min(40, train.shape[1], len(train))
    models = {
        "logistic": make_pipeline(StandardScaler(), PCA(reduced), LogisticRegression(max_iter=100)),
        "1-NN": KNeighborsClassifier(1),
        "5-NN": make_pipeline(PCA(reduced), KNeighborsClassifier(5)),
        "LDA": make_pipeline(PCA(reduced), LinearDiscriminantAnalysis()),
        "naive Bayes": make_pipeline(PCA(reduced), GaussianNB()),
        "tree": DecisionTreeClassifier(random_state=0),
        "forest": RandomForestClassifier(60, random_state=0),
        "extra trees": ExtraTreesClassifier(60, random_state=0),
        "SVM": make_pipeline(PCA(reduced), SVC(probability=True, random_state=0)),
    }
    classes = int(max(labels.max(), truth.max())) + 1
    scores = np.stack([spread(model.fit(train, labels), test, classes) for model in models.values()])
    return Cell(name, tuple(models), scores, truth, PCA(reduced).fit_transform(test).astype(np.float32))


def digits(_: Path) -> Cell:
    """Fitted to 300 digits, a fifth of whose labels are wrong; the other 1,497 are the pool."""
    images, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    order = random.permutation(len(labels))
    train, test = order[:300], order[300:]
    given = np.where(random.random(300) < 0.2, random.integers(0, 10, 300), labels[train])
    return fitted("digits", images[train], given, images[test], labels[test])


def fashion(data: Path) -> Cell:
    """Fitted to 60 images a class; the 10,000 test images are the pool."""
    file = np.load(data / "fashion_mnist" / "fashion_mnist_20k_10k.npz")
    rows = np.concatenate([np.flatnonzero(file["y_train"] == c)[:60] for c in range(10)])
    train, test = (file[name].reshape(-1, 784) / 255.0 for name in ("x_train", "x_test"))
    return fitted("Fashion", train[rows], file["y_train"][rows].astype(int), test, file["y_test"].astype(int))


def fer2013(data: Path) -> Cell:
    """Fitted to 1,000 faces; the 3,589 official test images are the pool."""
    file = np.load(data / "fer2013" / "fer2013_subset_jpg.npz")
    random = np.random.default_rng(0)
    train = random.permutation(np.flatnonzero(file["split"] == 0))[:1000]
    test = np.flatnonzero(file["split"] == 2)
    pixels = {i: small(file["data"][file["offsets"][i] : file["offsets"][i + 1]]) for i in (*train, *test)}
    labels = file["label"].astype(int)
    stacked = (np.stack([pixels[i] for i in rows]) for rows in (train, test))
    first, second = stacked
    return fitted("FER2013", first, labels[train], second, labels[test])


def small(jpeg: np.ndarray) -> np.ndarray:
    """A face as 16 x 16 gray values."""
    return np.asarray(Image.open(io.BytesIO(jpeg.tobytes())).convert("L").resize((16, 16))).reshape(-1) / 255.0


def cifar10n(data: Path) -> Cell:
    """Five sets of people's labels of 50,000 images; no confidences."""
    file = np.load(data / "cifar10_human_labels" / "cifar10n_train.npz")
    names = ("random_label1", "random_label2", "random_label3", "aggre_label", "worse_label")
    scores = np.stack([np.eye(10, dtype=np.float32)[file[name]] for name in names])
    return Cell("CIFAR-10N", names, scores, file["clean_label"].astype(np.int64))


def cifar10h(data: Path) -> Cell:
    """About fifty people on each of 10,000 test images; their shares are the confidence of the majority."""
    file = np.load(data / "cifar10" / "cifar10_jpeg_50k_10k.npz")
    rows = np.flatnonzero(file["split"] == 2)
    truth = np.empty(len(rows), dtype=np.int64)
    truth[file["official_index"][rows]] = file["label"][rows]
    shares = np.load(data / "cifar10_human_labels" / "cifar10h-probs.npy").astype(np.float32)
    return Cell("CIFAR-10H", ("people",), shares[None], truth)


CELLS = (pets, caltech, artdl, digits, fashion, fer2013, cifar10n, cifar10h)


def cells(data: Path) -> Iterator[Cell]:
    """All cells whose data is there."""
    for make in CELLS:
        try:
            yield make(data)
        except FileNotFoundError as error:
            print(f"left out, {error.filename} is not there")
