"""One module per publisher's format. Each has NAME, TITLE, `recognises(source)` and `load(source, options)`."""
