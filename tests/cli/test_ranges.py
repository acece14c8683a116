"""Values out of range end in one sentence and exit code 2 before anything is read: none of the files exists."""

from pathlib import Path

import pytest

from zerolabel import cli
from zerolabel.adaptation.methods import METHODS
from zerolabel.learners import LEARNERS

COMMANDS = {
    "run": "run nowhere -c nowhere.txt -o {out} --vlm glyphs --method {method} --set {value}",
    "train": "train nowhere nowhere.parquet -o {out} --method {method} --set {value}",
    "compare": "compare nowhere nowhere.parquet -o {out} --methods cc,{method} --set {method}.{value}",
    "adapt": "adapt nowhere -c nowhere.txt -o {out} --vlm glyphs --method {method} --set {value}",
    "transduce": "transduce nowhere -c nowhere.txt -o {out} --vlm glyphs --method {method} --set {value}",
}
TABLE = """
run coreg temperature=0
run coreg threshold=7
run coreg ramp=-1
run coreg warm_up=-3
run coreg prior=1,0,2
run coreg mixup=inf
train cross_entropy view=week
train distillation temperature=-1
train coteaching noise_rate=1.5
train dividemix threshold=-0.1
train elr memory=2
train elr_plus ramp_share=10
train elr_plus ema_momentum=1.01
train fixmatch ratio=0
train flexmatch threshold=95
train gce q=0
train jocor agreement_weight=-0.5
train promix late_share=350
train sce least=1
train truncated_gce k=1
train truncated_gce interval=0
train unicon strictness=0
train cc view=none
train rc view=1
train proden view=both
train lws beta=-1
train lwc beta=nan
train cavl view=,
compare crdpll ramp_share=100
compare pop window=0
compare fredis dropped_per_added=0
compare dirk likeness_temperature=0
compare able embedding=0
compare papi ramp=-10
compare pico queue=0
compare pico_plus neighbors=-1
compare solar ramp_share=50
compare transductive_clip warm_up_share=10
compare irnet warm_up_share=80
compare alim delay=-1
compare adapt:ueo image_rate=-1
adapt grip rounds=0
adapt grip seen=-1
adapt fpl k=0
adapt ifpl human_weight=-1
adapt cpl alpha=1.5
adapt upl k=-16
adapt ueo gamma=1e9
adapt tent spread=-1
adapt infomax prior=uniformly
adapt pouf scale=0
adapt must ema_momentum=2
adapt dpa share=-0.2
adapt lafter smoothing=1.1
adapt coop batch_size=0
adapt cocoop lr=0
adapt clip-lora weight_decay=-1
adapt clip-adapter adapter_share=2
adapt tip-adapter beta=0
adapt tip-adapter-f decay=-1
adapt linear-probe penalty=0
adapt lp++ iterations=-1
adapt stata anchor=0
adapt gpua text_share=2
adapt moon iterations=0
transduce stata temperature=0
transduce moon present=2
transduce transclip confident=0
transduce zlap tolerance=1
transduce em_dirichlet sharpness=0
transduce knn alpha=1
run proden lr=-1
run proden momentum=1
run proden epochs=0
train pico final_lr=2
train rc seed=-1
compare cc cycles=0
adapt ueo lr_warm_up=-5
"""
ROWS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def test_the_table_names_every_learner_and_every_method_of_adaptation() -> None:
    named = {method.removeprefix("adapt:") for _, method, _ in ROWS}
    assert len(ROWS) >= 60 and named == set(LEARNERS) | set(METHODS)
    assert {command for command, _, _ in ROWS} == set(COMMANDS)


@pytest.mark.parametrize(("command", "method", "value"), ROWS, ids=map(" ".join, ROWS))
def test_a_value_out_of_range_is_one_sentence(command, method, value, capsys, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as end:
        cli.main(COMMANDS[command].format(out=tmp_path / "out", method=method, value=value).split())
    said = capsys.readouterr()
    (sentence,) = said.err.replace("\n", " ").split("error: ")[1:]
    name, _, text = value.partition("=")
    assert end.value.code == 2 and said.out == "" and not list(tmp_path.iterdir())
    assert sentence.startswith(f"--set {name}={text}") and sentence.rstrip().endswith(".")
    assert " is out of range; give " in sentence or f": {name} is " in sentence
    assert "nowhere" not in sentence


@pytest.mark.parametrize("options", ["--method ueo --tune nrom", "--method cpl --preset paper", "--method grib"])
def test_what_adapts_is_checked_before_anything_is_read(options: str, capsys, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as end:
        cli.main(f"adapt nowhere -c nowhere.txt -o {tmp_path}/out --vlm glyphs {options}".split())
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("error: ") == 1 and options.split()[-1] in said and "nowhere" not in said
