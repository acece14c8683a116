"""Classify images with an exported classifier: python predict.py classifier.onnx IMAGE_OR_FOLDER ... [--csv]."""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def read(path: Path) -> np.ndarray:
    """The upright image as uint8 (1, H, W, 3); transparency on white, 16 bits scaled to 8."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode[0] in "IF":
        values = np.nan_to_num(np.asarray(image, np.float32), nan=0, posinf=0, neginf=0)
        large = image.mode[:4] == "I;16" or values.max() > 255
        scale = 1 / 257 if large else 255 if image.mode == "F" and values.max() <= 1 else 1
        image = Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))[None]


def main() -> None:
    """Print file, label and confidence of each image; exit code 1 where one could not be read."""
    parser = argparse.ArgumentParser(description="Classify images with an exported classifier.")
    parser.add_argument("model", help="classifier.onnx")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders searched at every depth")
    parser.add_argument("--csv", action="store_true", help="print CSV with a header")
    parser.add_argument("--threshold", action="store_true", help="'unknown' below the threshold stored in the model")
    args = parser.parse_args()
    try:
        session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        classes, least = json.loads(metadata["classes"]), json.loads(metadata["threshold"]) if args.threshold else 0
    except Exception as error:
        sys.exit(f"{args.model} is not an exported classifier: {error}".splitlines()[0])
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files, failed = [], False
    for p in args.images:
        files += sorted(f for f in p.rglob("*") if f.suffix.lower() in known) if p.is_dir() else [p]
    if least is None or not files:
        sys.exit("there is no image in what was given." if not files else f"{args.model} stores no threshold.")
    rows = csv.writer(sys.stdout, delimiter="," if args.csv else "\t", lineterminator="\n")
    rows.writerows([("file", "label", "confidence")] * args.csv)
    for file in files:
        try:
            p = session.run(None, {"image": read(file)})[0][0]
            rows.writerow((file, classes[p.argmax()] if p.max() >= least else "unknown", f"{p.max():.4f}"))
        except Exception as error:  # a damaged file must not stop the others
            failed = True
            print(f"{file} cannot be read: {error}".splitlines()[0], file=sys.stderr)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
