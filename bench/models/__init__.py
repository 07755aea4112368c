"""timm backbones: names, weights, stages from stem to head."""
