"""Images by index, their views, class names and label files: what a user brings."""
