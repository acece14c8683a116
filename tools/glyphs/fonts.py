"""Which fonts are drawn, by Debian package and by parts of their file names."""

# Debian packages; matplotlib's own fonts are used as well.
FONT_PACKAGES = (
    "fonts-3270", "fonts-adf-accanthis", "fonts-averia-gwf", "fonts-averia-sans-gwf", "fonts-breip", "fonts-bwht",
    "fonts-cabin", "fonts-cantarell", "fonts-century-catalogue", "fonts-comic-neue", "fonts-dancingscript",
    "fonts-dejavu-core", "fonts-dkg-handwriting", "fonts-ebgaramond", "fonts-ecolier-court", "fonts-femkeklaver",
    "fonts-freefont-ttf", "fonts-gfs-neohellenic", "fonts-gnutypewriter", "fonts-goudybookletter",
    "fonts-hosny-amiri", "fonts-humor-sans", "fonts-inconsolata", "fonts-junction", "fonts-jura", "fonts-karla",
    "fonts-kaushanscript", "fonts-klee", "fonts-kristi", "fonts-lato", "fonts-leckerli-one", "fonts-lemonada",
    "fonts-liberation", "fonts-linuxlibertine", "fonts-lobster", "fonts-lobstertwo", "fonts-noto-mono",
    "fonts-ocr-a", "fonts-ocr-b", "fonts-okolaks", "fonts-oldstandard", "fonts-open-sans", "fonts-oxygen",
    "fonts-play", "fonts-prociono", "fonts-quicksand", "fonts-roboto-unhinted", "fonts-rufscript",
    "fonts-sawarabi-gothic", "fonts-sil-andika", "fonts-sjfonts", "fonts-tlwg-purisa-ttf", "fonts-tlwg-typist-ttf",
    "fonts-tomsontalks", "fonts-urw-base35", "fonts-vollkorn", "fonts-yusei-magic", "ttf-bitstream-vera",
)  # fmt: skip

# Parts of the folder or file names of the fonts that imitate handwriting.
HANDWRITTEN = (
    "breip", "bwht", "comic-neue", "dancingscript", "ecolier", "femkeklaver", "fifthhorseman", "humor", "kaushan",
    "klee", "kristi", "leckerli", "lobster", "purisa", "rufscript", "sjfonts", "tomsontalks", "yusei-magic",
)  # fmt: skip

# Parts of the names of the fonts that are never trained on.
HELD_OUT = (
    "femkeklaver", "fifthhorseman", "sjfonts", "yusei-magic", "averia", "jura", "oxygen", "quicksand",
    "linux-libertine", "vollkorn",
)  # fmt: skip

# Parts of the names of fonts without legible Latin letters, or too large to ask for.
UNSUITABLE = (
    "cmex", "cmsy", "cmmi", "stixnon", "stixsiz", "standardsymbols", "d050000l", "opens___", "yozvox", "isabella",
    "asana", "amiriquran",
)  # fmt: skip
