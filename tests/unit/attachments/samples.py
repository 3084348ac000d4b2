"""Attachments written by hand, good and hostile."""

from __future__ import annotations

import io
import traceback
import zlib
from collections.abc import Sequence

from reportlab.pdfgen.canvas import Canvas

from fhir_coder.errors import InputError

RTF = (
    rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fswiss Arial;}}{\info{\author Nobody}}{\header Elm Street Clinic}"
    rb"\f0\fs22\b ASSESSMENT:\b0\par Gr\'f6\'dfe unver\'e4ndert. Pt has {\strike diabetes }hypertension.\par "
    rb"Hidden: \v secret\v0\u946? blocker stopped.\par\trowd Potassium\cell 4.0\cell mmol/L\cell\row "
    rb"Ibuprofen\cell 600 mg\cell Active\cell\row\pard \u-10179?\u-8704? end}"
)

HTML = """<!DOCTYPE html><html><head><title>Visit</title>
<style>p {color: red}</style><script>var x = "<p>no</p>";</script>
</head><body><h2>Assessment</h2><p>Patient has
<b>hyper</b>tension&nbsp;and
   <i>asthma</i>.<br>No&#32;fever.</p><s>Has diabetes.</s>
<ul><li>lisinopril 10&#160;mg</li><li>albuterol</li></ul>
<table><tr><th>Test</th><th>Result</th></tr><tr><td>Potassium</td><td>4.0</td><td>mmol/L</td></tr></table>
<pre>BP
  120/80</pre></body></html>"""

CDA = """<?xml version="1.0" encoding="UTF-8"?>
<!-- written by hand --><ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Summary</title>
 <recordTarget><patientRole><addr><city>Nowhere</city></addr></patientRole></recordTarget>
 <component><structuredBody>
  <component><section>
   <code code="48765-2" codeSystem="2.16.840.1.113883.6.1"/><title>Adverse events to drugs</title>
   <text><table><thead><tr><th>Substance</th><th>Reaction</th></tr></thead>
    <tbody><tr><td><content ID="a1">Penicillin</content></td><td>Hives</td></tr></tbody></table></text>
   <entry><observation classCode="OBS" moodCode="EVN"><text>never read</text></observation></entry>
  </section></component>
  <component><section>
   <code code="10164-2" codeSystem="2.16.840.1.113883.6.1"/><title>History of Present Illness</title>
   <text><paragraph>Has <content styleCode="Bold">asthma</content>,<br/>no fever.</paragraph>
    <paragraph><content revised="delete">Has diabetes.</content>Takes albuterol.</paragraph>
    <list><caption>Seen by</caption><item>pulmonology</item><item>allergy</item></list></text>
   <component><section><title>Onset</title><text>Two weeks ago.</text></section></component>
  </section></component>
 </structuredBody></component>
</ClinicalDocument>"""


def cda_with_body(media_type: str, content: str, representation: str = "B64") -> bytes:
    """A CDA document whose body is not XML."""
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody>'
        f'<text mediaType="{media_type}" representation="{representation}">{content}</text>'
        "</nonXMLBody></component></ClinicalDocument>"
    ).encode()


def pdf(pages: Sequence[Sequence[str]], password: str | None = None) -> bytes:
    """A PDF with the given lines on its pages."""
    from reportlab.lib.pdfencrypt import StandardEncryption

    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption(password) if password else None, invariant=1)
    for lines in pages:
        text = canvas.beginText(60, 780)
        text.setFont("Helvetica", 9)
        for line in lines:
            text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def pdf_of_stream(packed: bytes, filters: str = "/FlateDecode") -> bytes:
    """A PDF of one page with a content stream that is packed already."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d/Filter[%s]>>stream\n%s\nendstream" % (len(packed), filters.encode(), packed),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, each in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(out)
    return bytes(out) + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def require_not_ours(error: InputError) -> None:
    """Raise what lies behind an error when our own code stumbled, and not a library over what it reads."""
    cause = error.__context__
    if cause is None or isinstance(cause, InputError | RecursionError) or "is damaged or no" not in str(error):
        return
    if "fhir_coder" in traceback.extract_tb(cause.__traceback__)[-1].filename:
        raise cause


def bomb(megabytes: int, *, wbits: int = zlib.MAX_WBITS) -> bytes:
    """So many megabytes of spaces, packed to a thousandth (wbits 31: as gzip)."""
    packer = zlib.compressobj(9, wbits=wbits)
    block = b" " * (1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(megabytes)), packer.flush()])
