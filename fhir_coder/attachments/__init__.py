"""Attachments of any form -> text, with the way back to the page or section it stood on. READ FIRST: `read.py`."""
