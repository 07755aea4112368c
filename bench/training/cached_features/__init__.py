"""What frozen layers make of images: computed once, kept, shared."""
