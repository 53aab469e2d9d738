"""Reviews configs: rejects contradictions, simulates effects, and finds values without effect or that interact."""
