"""Models of open_clip as the hub holds them, which the benchmarks' smoke runs build as well: see `tools.tiny_clip`."""

from tools.tiny_clip import PIXELS, SIGLIP, TINY, full_size, write

__all__ = ["PIXELS", "SIGLIP", "TINY", "full_size", "write"]
