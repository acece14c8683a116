"""Makes the embedded vision-language model ``zerolabel.vlms.glyphs``: ``python -m tools.glyphs.train``."""
