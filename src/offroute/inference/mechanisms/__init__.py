"""Each critique of the panel as a mechanism of its own, with its effect on China against the US."""
