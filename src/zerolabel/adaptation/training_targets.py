"""Training targets of an adaptation, from scores, texts or human labels, and the initial prompt."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from zerolabel.adaptation.task import Task
from zerolabel.annotations import Annotations
from zerolabel.blocks.label_propagation import propagate
from zerolabel.data.classes import prompts
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS
from zerolabel.learners.lafter import text_classifier
from zerolabel.networks.prompted import TEXTS, PromptedNetwork


def initial_prompt(templates: Sequence[str], parts: Sequence[str], start: str = "words") -> tuple[str, tuple[str, ...]]:
    """The initial words of a trainable prompt, and the templates of the adapted model.

    A trainable prompt starts from the words before the class name in the first template that has any; with a random
    start it starts from none.
    """
    with_words = [t for t in templates if t.partition("{}")[0].strip()] or list(templates[:1])
    used = with_words[:1] if (TEXTS | {"lora"}) & set(parts) else templates
    if not TEXTS & set(parts):
        return "", tuple(used)
    words, _, after = used[0].partition("{}")
    return words if start == "words" else "", ("{}" + after,)


def training_targets(task: Task) -> Annotations:
    """Annotations with the targets of the learner: the scores, propagated scores, or human labels only.

    A learner that takes no propagated scores gets the model's probabilities for the mean text features.

    Raises:
        InputError: the method needs human labels and there are none.
    """
    annotations, request = task.annotations, task.request
    if request.row.needs_labels:
        return _only_labeled(annotations, request.method)
    if not LEARNERS[request.learner].takes_propagated_scores:
        return replace(annotations, scores=task.encoder.probabilities(task.features, task.mean_texts()))
    if not request.propagate:
        return annotations
    return replace(annotations, scores=propagate(annotations.scores, task.annotated.features))


def text_classifier_targets(task: Task, network: PromptedNetwork, seed: int) -> Annotations:
    """Scores of a classifier trained on texts only, LaFTer's first step; its weights initialize the network's head."""
    encoder, classes = task.encoder, task.classes
    texts = torch.cat([encoder.encode_texts(prompts(template, classes.words)) for template in task.templates])
    owners = torch.tensor(classes.owners).repeat(len(task.templates))
    weights = text_classifier(texts, owners, encoder.logit_scale, seed=seed)
    head = network.head.classifier
    if isinstance(head, Tensor):
        with torch.no_grad():
            head.copy_(weights)
    return replace(task.annotations, scores=(task.annotated.features @ weights.T).softmax(1))


def _only_labeled(annotations: Annotations, method: str) -> Annotations:
    """Remove the candidates of all images without a human label."""
    human = annotations.labels >= 0
    if not bool(human.any()):
        raise InputError(f"--method {method} learns from labels; give --few-shot a CSV of file_name,label.")
    return annotations.with_candidates(annotations.candidates & human[:, None], annotations.rule)


__all__ = ["initial_prompt", "text_classifier_targets", "training_targets"]
