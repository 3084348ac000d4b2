"""A note -> sections, sentences and entities with their assertion, attributes and relations."""
