"""What the frozen part of a network makes of images: computed once, kept on disk, shared by all runs that need it."""
