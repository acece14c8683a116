"""The example for onnxruntime-web in headless Chromium, and a script in Node, answer as onnxruntime does.

The npm package is looked for in ``node_modules`` of the repository, or in the folder ``ZEROLABEL_NODE_MODULES``; the
page's address of it is answered from there, and nothing else is fetched.
"""

import json
import os
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export, write_classes
from zerolabel.networks import build

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "examples" / "browser.html"
PACKAGE = Path(os.environ.get("ZEROLABEL_NODE_MODULES", ROOT / "node_modules")) / "onnxruntime-web" / "dist"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
N = 12
IN_NODE = """
import { readFileSync } from "node:fs";
const [package_, model, images] = process.argv.slice(-3);
const { default: ort } = await import(package_);
const session = await ort.InferenceSession.create(readFileSync(model));
const answers = [];
for (const { shape, values } of JSON.parse(readFileSync(images))) {
  const image = new ort.Tensor("uint8", Uint8Array.from(values), shape);
  const { [session.outputNames[0]]: p } = await session.run({ image });
  answers.push([...p.data]);
}
console.log(JSON.stringify(answers));
"""


@pytest.fixture
def place(tmp_path):
    """A folder with the page, a classifier, and real digits beside one of another size."""
    torch.manual_seed(0)
    network = build("light", 10, 16)
    torch.nn.init.normal_(network.head.weight, std=2.0)
    classifier = Classifier((network,), tuple("0123456789"), Preprocess(16, (0.5,) * 3, (0.2,) * 3), 0.7, 0.6)
    export(classifier, tmp_path / "classifier.onnx")
    write_classes(classifier, tmp_path / "classes.json")
    shutil.copy(PAGE, tmp_path)
    for i, digit in enumerate(load_digits().images[:N]):
        image = Image.fromarray((digit * 15.9375).astype(np.uint8)).convert("RGB")
        (image if i else image.resize((91, 37))).save(tmp_path / f"{i:02}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    return tmp_path


@pytest.fixture
def address(place):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/browser.html"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs `npm install onnxruntime-web`, in ZEROLABEL_NODE_MODULES")
def test_the_page_answers_as_onnxruntime_does(place, address):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    others = []

    def answer(route):
        url = urlsplit(route.request.url)
        file = PACKAGE / Path(url.path).name
        if url.hostname == "127.0.0.1":
            route.continue_()
        elif url.path.startswith("/npm/onnxruntime-web@") and file.is_file():
            kind = "application/wasm" if file.suffix == ".wasm" else "text/javascript"
            headers = {"Access-Control-Allow-Origin": "*", "Content-Type": kind}
            route.fulfill(status=200, headers=headers, body=file.read_bytes())
        else:
            others.append(route.request.url)
            route.abort()

    files = [*sorted(place.glob("[0-9]*.png")), place / "bad.png"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.route("**/*", answer)
        page.goto(address)
        page.wait_for_function("/^(Ready|Not)/.test(document.getElementById('state').textContent)")
        assert page.text_content("#state") == "Ready: 10 classes."
        page.set_input_files("#files", [str(file) for file in files])
        page.wait_for_function("/classified/.test(document.getElementById('state').textContent)")
        rows = page.eval_on_selector_all("#answers tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))")
        browser.close()
    assert not others
    assert rows[-1][0] == "bad.png" and rows[-1][1].startswith("cannot be read")
    session = onnxruntime.InferenceSession(str(place / "classifier.onnx"), providers=["CPUExecutionProvider"])
    for file, (name, label, confidence) in zip(files[:-1], rows[:-1], strict=True):
        (p,) = session.run(None, {"image": np.asarray(Image.open(file))[None]})[0]
        assert name == file.name
        assert float(confidence) == pytest.approx(float(p.max()), abs=1e-4)
        assert label == (str(p.argmax()) if p.max() >= 0.6 else "unknown")


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs `npm install onnxruntime-web`, in ZEROLABEL_NODE_MODULES")
def test_node_answers_as_onnxruntime_does(place):
    images = [np.asarray(Image.open(file)) for file in sorted(place.glob("[0-9]*.png"))]
    said = [{"shape": [1, *image.shape], "values": image.flatten().tolist()} for image in images]
    (place / "images.json").write_text(json.dumps(said))
    (place / "answers.mjs").write_text(IN_NODE)
    files = [place / "answers.mjs", PACKAGE / "ort.node.min.mjs", place / "classifier.onnx", place / "images.json"]
    done = subprocess.run([str(NODE), *files], capture_output=True, text=True, check=True)
    session = onnxruntime.InferenceSession(str(place / "classifier.onnx"), providers=["CPUExecutionProvider"])
    for image, p in zip(images, json.loads(done.stdout), strict=True):
        assert p == pytest.approx(session.run(None, {"image": image[None]})[0][0].tolist(), abs=1e-4)
