"""spaCy's tokens and phrases, imported without torch.

thinc, on which spaCy stands, imports torch where it is installed: 1.4 seconds and 200 MB in every process, for networks
that are not used here. While spaCy is imported torch is said to be missing, which thinc provides for; whoever needs
torch later imports it as ever.
"""

from __future__ import annotations

import sys

_IS_HIDDEN = "torch" not in sys.modules
if _IS_HIDDEN:
    sys.modules["torch"] = None  # type: ignore[assignment]  # the import system's own word for "there is none"
try:
    import spacy
    from spacy.matcher import PhraseMatcher
    from spacy.tokens import Doc
finally:
    if _IS_HIDDEN:
        del sys.modules["torch"]

__all__ = ["Doc", "PhraseMatcher", "spacy"]
