"""The sentence encoder of the encoder tier, and the classification head on it."""
