"""How far a target is from the data that a backbone was pretrained on."""
