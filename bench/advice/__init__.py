"""`bench advise`: what the evidence favours for a folder of images."""
