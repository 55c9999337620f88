"""The workshop of the learned tier: checks its data, trains, measures on origins never trained on, writes `data/model/`."""
