import itertools
import json
from pathlib import Path

import yaml

from zerolabel.report import build, model_card


def header(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_with_truth(run_with_truth: Path) -> None:
    card = model_card(run_with_truth)
    metrics = json.loads((run_with_truth / "metrics.json").read_text())
    index = header(card)["model-index"]
    assert index[0]["results"][0]["metrics"][0]["value"] == round(metrics["student_accuracy"], 4)
    assert f"| Student | {100 * metrics['student_accuracy']:.1f}% |" in card
    assert f"| Zero-shot, all prompts | {100 * metrics['zero_shot_accuracy']:.1f}% |" in card
    for template in ("a photo of the number {}", "someone wrote {}"):
        assert f"| {template} |" in card
    assert "Apache-2.0" in card and "zerolabel run" in card and "predict.py" in card


def test_without_truth_it_holds_no_accuracy(run_without_truth: Path) -> None:
    card = model_card(run_without_truth)
    assert "model-index" not in header(card)
    assert "accuracy" not in card.lower() and "calibration error" not in card
    assert "is not known" in card


REVIEW = {
    "accuracy": 0.86, "low": 0.741, "high": 0.935, "level": 0.95, "n_answers": 50, "n_right": 43, "n_unsure": 2,
    "n_none": 1, "n_images": 500, "images": "held-out images", "design": "stratified random sample, exact interval",
    "reviewers": ["anna", "ben"],
}  # fmt: skip


def test_after_a_review_report_and_card_say_what_it_measured_and_how(run_without_truth: Path) -> None:
    path = run_without_truth / "metrics.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "review": REVIEW}))
    card, page = model_card(run_without_truth), build(run_without_truth)
    path.write_text(before)
    for text in (card, page):
        assert "95% interval: 74.1 to 93.5%" in text and "86.0%" in text
        assert "50 images of 500 held-out images were checked by anna, ben" in text
        assert "stratified random sample" in text and "2 were left uncertain" in text and "1 show none" in text
        assert "Nobody compared" not in text and "nobody can say" not in text
    assert header(card)["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "accuracy", "name": "accuracy, estimated by 50 answers", "value": 0.86
    }  # fmt: skip
    assert "Measure the accuracy by hand" not in page


def test_tables_survive_any_name(run_of_odd_names: Path) -> None:
    card = model_card(run_of_odd_names)
    assert "a\\|b" in card and "\\<b\\>&" in card and "\\*star\\* \\`tick\\`" in card
    lines = card.splitlines()
    for above, line in itertools.pairwise(lines):
        if above.startswith("|") and line.startswith("|"):
            assert above.replace("\\|", "").count("|") == line.replace("\\|", "").count("|")


def test_a_killed_run_has_a_card(run_copy: Path) -> None:
    for name in ("metrics.json", "predictions.parquet", "annotations.parquet", "log.jsonl", "evaluation.json"):
        (run_copy / name).unlink()
    assert "has not finished" in model_card(run_copy)


def test_a_command_with_backticks_stays_in_its_fence(run_copy: Path) -> None:
    path = run_copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": ["zerolabel", "run", "```"]}))
    assert "````sh\nzerolabel run '```'\n````" in model_card(run_copy)


def test_latency_and_size_stand_beside_the_annotators(run_with_truth: Path, run_copy: Path) -> None:
    for text in (model_card(run_with_truth), build(run_with_truth)):
        for cell in ("Each image of a batch of 32, 1 thread", "0.05 ms", "412.3 kB", "98.0 k", "8 × 8 pixels"):
            assert cell in text
    assert "| Each image of a batch of 32, 1 thread | 0.1 ms | – |" in model_card(run_with_truth)
    path = run_copy / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["latency"]
    path.write_text(json.dumps(metrics))
    assert "Latency and size" not in model_card(run_copy) and "Latency and size" not in build(run_copy)


def test_the_header_names_models_and_data_sets_of_the_hub(run_copy: Path) -> None:
    path = run_copy / "config.json"
    config = json.loads(path.read_text())
    assert "base_model" not in header(model_card(run_copy)) and "datasets" not in header(model_card(run_copy))
    config |= {"vlm": ["hf-hub:me/clip"], "images": "hf:me/pets:train", "test_images": "hf:me/pets:test"}
    path.write_text(json.dumps(config))
    front = header(model_card(run_copy))
    assert (front["base_model"], front["datasets"]) == (["me/clip"], ["me/pets"])
