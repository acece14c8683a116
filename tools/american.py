"""American forms of British spellings, word by word, and a rewriter of whole files."""

import re

_OUR = "arm|behavi|col|endeav|fav|flav|harb|hon|hum|lab|neighb|od|rig|rum|sav|tum|vap|vig"
_ISE = (
    "amort|anonym|apolog|author|binar|canonical|capital|categor|central|character|contextual|custom|diagonal|digit|"
    "discret|econom|emphas|equal|external|factor|final|formal|general|global|harmon|hypothes|ideal|immun|initial|"
    "internal|item|linear|local|major|marginal|maxim|memor|minim|modern|neutral|normal|optim|organ|orthogonal|"
    "orthonormal|parallel|parameter|parametr|penal|personal|polar|popular|priorit|privat|quant|random|rational|real|"
    "recogn|regular|sanit|serial|social|special|stabil|standard|steril|summar|symbol|symmetr|synchron|token|trivial|"
    "util|vector|verbal|visual"
)
_DOUBLED = "cancel|channel|fuel|initial|label|level|marshal|model|signal|total|travel"

FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"((?:dis|mis|un|re)?(?:{_OUR}))our(.*)", r"\1or\2"),
        (rf"((?:de|mis|non|over|pre|re|un)?(?:{_ISE}))is(e|ed|es|ing|ation|ations|er|ers|able)", r"\1iz\2"),
        (rf"((?:mis|non|over|pre|pseudo|re|un)?(?:{_DOUBLED}))l(ed|ing|ings|er|ers|able)", r"\1\2"),
        (r"((?:epi|un|re|de)?cent|(?:centi|kilo|milli)met|met|fib|theat|calib|lit)re(s?)", r"\1er\2"),
        (r"((?:un|re|de)?cent)red", r"\1ered"),
        (r"((?:un|re|de)?cent)re?ing", r"\1ering"),
        (r"grey(s|ed|er|ish|scale|level|levels|ness)?", r"gray\1"),
        (r"(un|re|mis)?learnt", r"\1learned"),
        (r"(mis)?spelt", r"\1spelled"),
        (r"burnt", "burned"),
        (r"(judg|acknowledg)ement(s|al)?", r"\1ment\2"),
        (r"(lic|def|off|pret)ence(s|d)?", r"\1ense\2"),
        (r"artefact(s)?", r"artifact\1"),
        (r"((?:an|cat|par)al)ys(e|ed|er|ers|ing)", r"\1yz\2"),
        (r"practis(e|ed|es|ing)", r"practic\1"),
        (r"(fulfi|enro)l(s?)", r"\1ll\2"),
        (r"(fulfi|enro|insta)lment(s?)", r"\1llment\2"),
        (r"(ski|wi)lful(ly)?", r"\1llful\2"),
        (r"programme(s)?", r"program\1"),
        (r"sceptic(s|al|ally|ism)?", r"skeptic\1"),
        (r"mould(s|ed|ing)?", r"mold\1"),
        (r"(focus|bias)s(ed|es|ing)", r"\1\2"),
        (r"ageing", "aging"),
        (r"whilst", "while"),
        (r"amongst", "among"),
        (r"afterwards", "afterward"),
        (r"towards", "toward"),
    )
)
"""A pattern of the whole word in lower case, and its American form."""

KEPT = frozenset({"greyhound", "analyses"})
"""Words that only look British: the plural of analysis, a dog."""

_WORDS = re.compile(r"[A-Za-z]+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def american(word: str) -> str:
    """A word in American spelling, with the case that it had; unchanged where it has no other spelling."""
    lower = word.lower()
    if lower in KEPT:
        return word
    for pattern, replacement in FAMILIES:
        if pattern.fullmatch(lower):
            better = pattern.sub(replacement, lower)
            return better.upper() if word.isupper() else better.capitalize() if word[0].isupper() else better
    return word


def rewritten(text: str, kept: frozenset[str] = frozenset()) -> str:
    """A text or a name in American spelling; of names such as ``LabelledImages`` each part on its own.

    Args:
        text: of any language.
        kept: identifiers that stay as they are, such as the keys of committed files.
    """

    def one(match: re.Match[str]) -> str:
        return _PARTS.sub(lambda part: american(part[0]), match[0])

    def name(match: re.Match[str]) -> str:
        return match[0] if match[0] in kept else _WORDS.sub(one, match[0])

    return re.sub(r"\w+", name, text)
