"""Pages on which organisers prepare competitions."""
