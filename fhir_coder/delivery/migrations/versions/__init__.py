"""One file a step; a step that was released is not changed any more."""
