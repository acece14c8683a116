"""What works on outputs of real vision-language models: ``python -m benchmarks.real_vlm``."""
